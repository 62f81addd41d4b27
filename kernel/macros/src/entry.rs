//! `#[mayfly::main]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Error, ItemFn, Result, ReturnType, spanned::Spanned};

/// What the attribute stands for.
pub fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "#[mayfly::main] takes no arguments"));
    }
    let function: ItemFn = syn::parse2(item).map_err(|error| {
        Error::new(error.span(), "#[mayfly::main] belongs on the app's `async fn main`")
    })?;
    check(&function)?;
    Ok(entry(&function))
}

/// Refuses whatever is not a main function, saying what one looks like.
fn check(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    let refuse = |tokens: &dyn quote::ToTokens, message: &str| {
        Err(Error::new_spanned(tokens.to_token_stream(), message))
    };
    if signature.asyncness.is_none() {
        return refuse(&signature.fn_token, "the main function is async: write `async fn main`");
    }
    if signature.ident != "main" {
        return refuse(&signature.ident, "the main function is called `main`");
    }
    if !signature.generics.params.is_empty() {
        return refuse(&signature.generics, "the main function has no generic parameters");
    }
    if signature.inputs.len() > 1 || signature.receiver().is_some() {
        return refuse(
            &signature.inputs,
            "the main function takes `machine: mayfly::Machine`, or nothing",
        );
    }
    let qualifiers = [
        signature.unsafety.map(|token| token.span),
        signature.constness.map(|token| token.span),
        signature.abi.as_ref().map(Spanned::span),
        signature.variadic.as_ref().map(Spanned::span),
    ];
    if let Some(span) = qualifiers.into_iter().flatten().next() {
        return Err(Error::new(span, "the main function is a plain `async fn`"));
    }
    Ok(())
}

/// The function, hidden from the names of the app's file, and what calls it.
///
/// On bare metal the kernel declares `__mayfly_main` and calls it once the machine is up. On the
/// host the C library calls `main`, unless the app is being compiled as its own unit tests.
fn entry(function: &ItemFn) -> TokenStream {
    let (arguments, obey) = if function.sig.inputs.is_empty() {
        (quote!(), quote!())
    } else {
        (quote!(machine), quote!(::mayfly::macro_support::obey_host(&machine);))
    };
    let returns = match &function.sig.output {
        ReturnType::Default => function.sig.ident.span(),
        ReturnType::Type(_, result) => result.span(),
    };
    let result = quote_spanned! {returns=>
        ::mayfly::macro_support::MainResult::into_status(result)
    };
    let future = quote! {
        ::core::pin::Pin<::mayfly::macro_support::Box<
            dyn ::core::future::Future<Output = ::mayfly::power::ExitStatus>
        >>
    };
    quote! {
        const _: () = {
            #[cfg_attr(test, allow(dead_code, reason = "the test harness has a main of its own"))]
            #function

            #[cfg(any(target_os = "none", not(test)))]
            fn start(machine: ::mayfly::Machine) -> #future {
                let _ = &machine;
                ::mayfly::macro_support::Box::pin(async move {
                    #obey
                    let result = main(#arguments).await;
                    #result
                })
            }

            #[cfg(target_os = "none")]
            #[unsafe(no_mangle)]
            fn __mayfly_main(machine: ::mayfly::Machine) -> #future {
                start(machine)
            }

            #[cfg(all(not(target_os = "none"), not(test)))]
            #[unsafe(export_name = "main")]
            extern "C" fn process_main() -> ::core::ffi::c_int {
                ::mayfly::host_main(start)
            }

            #[cfg(any(target_os = "none", target_os = "linux"))]
            ::mayfly::__describe!(::mayfly::__this_app!(), ::core::option::Option::None);
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(item: TokenStream) -> String {
        match expand(TokenStream::new(), item) {
            Ok(code) => panic!("accepted: {code}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_forms_of_main_are_accepted() {
        for item in [
            quote! { async fn main(machine: mayfly::Machine) -> mayfly::Result<()> { Ok(()) } },
            quote! { async fn main(_: mayfly::Machine) {} },
            quote! { async fn main() -> Result<(), Custom> { Ok(()) } },
            quote! { pub async fn main() {} },
        ] {
            let code = expand(TokenStream::new(), item).expect("accepted");
            syn::parse2::<syn::Item>(code).expect("one item of Rust");
        }
    }

    #[test]
    fn other_signatures_are_refused_with_the_right_one() {
        for (item, right) in [
            (quote! { fn main() {} }, "async fn main"),
            (quote! { async fn start() {} }, "called `main`"),
            (quote! { async fn main(a: A, b: B) {} }, "mayfly::Machine"),
            (quote! { async fn main<T>() {} }, "generic"),
            (quote! { async unsafe fn main() {} }, "plain"),
            (quote! { struct Main; }, "belongs on"),
        ] {
            assert!(refusal(item).contains(right), "{right}");
        }
    }

    #[test]
    fn the_attribute_has_no_arguments() {
        let error = expand(quote!(fast), quote! { async fn main() {} }).expect_err("refused");
        assert!(error.to_string().contains("no arguments"));
    }
}
