//! `#[derive(BootArguments)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Error, Fields, Result, spanned::Spanned};

use crate::field::{Argument, Kind};

/// What the derive stands for.
pub fn expand(item: TokenStream) -> Result<TokenStream> {
    let input: DeriveInput = syn::parse2(item)?;
    if !input.generics.params.is_empty() {
        return Err(Error::new(input.generics.span(), "boot arguments cannot be generic"));
    }
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "boot arguments are a struct"));
    };
    let arguments = match &data.fields {
        Fields::Named(fields) => fields.named.iter().map(Argument::new).collect::<Result<_>>()?,
        Fields::Unit => Vec::new(),
        Fields::Unnamed(fields) => {
            return Err(Error::new_spanned(fields, "boot arguments need named fields"));
        }
    };
    unique(&arguments)?;
    Ok(implementation(&input, &arguments))
}

/// Refuses two fields with one key; `-` and `_` are the same in a key.
fn unique(arguments: &[Argument]) -> Result<()> {
    let keys: Vec<_> = arguments.iter().map(|argument| argument.key.replace('_', "-")).collect();
    for (i, key) in keys.iter().enumerate() {
        if keys.iter().take(i).any(|earlier| earlier == key) {
            let message = format!("two boot arguments are called `{key}`");
            return Err(Error::new(arguments[i].field.span(), message));
        }
    }
    Ok(())
}

fn implementation(input: &DeriveInput, arguments: &[Argument]) -> TokenStream {
    let (name, visibility) = (&input.ident, &input.vis);
    let described = arguments.iter().map(describe);
    let values = arguments.iter().enumerate().map(|(index, argument)| read(index, argument));
    let checks = arguments.iter().map(|Argument { field, key, .. }| {
        quote_spanned!(field.span()=> ::mayfly::config::check_key(#key);)
    });
    quote! {
        impl #name {
            /// Parses a command line. Fails at the first thing that is wrong with it, or when it
            /// asks for help.
            #visibility fn parse(
                command_line: &str,
            ) -> ::core::result::Result<Self, ::mayfly::config::ConfigError> {
                ::mayfly::config::parse(command_line)
            }
        }

        impl ::mayfly::config::BootArguments for #name {
            const APP: &'static ::mayfly::config::App = ::mayfly::__this_app!();
            const ARGUMENTS: &'static [::mayfly::config::Argument] = &[#(#described),*];

            fn from_values(
                values: &::mayfly::config::Values<'_>,
            ) -> ::core::result::Result<Self, ::mayfly::config::ConfigError> {
                let _ = values;
                ::core::result::Result::Ok(Self { #(#values),* })
            }
        }

        const _: () = { #(#checks)* };

        #[cfg(any(target_os = "none", target_os = "linux"))]
        const _: () = {
            ::mayfly::__describe!(
                <#name as ::mayfly::config::BootArguments>::APP,
                ::core::option::Option::Some(
                    <#name as ::mayfly::config::BootArguments>::ARGUMENTS
                )
            );
        };
    }
}

/// The constant that describes one key.
fn describe(argument: &Argument) -> TokenStream {
    let Argument { key, value, default, help, .. } = argument;
    let takes = match argument.kind {
        Kind::Flag(_) | Kind::OptionalFlag => quote!(Flag),
        Kind::List => quote!(List),
        _ => quote!(Value),
    };
    let required = matches!(argument.kind, Kind::Required);
    let default = match default {
        Some(text) => quote!(::core::option::Option::Some(#text)),
        None => quote!(::core::option::Option::None),
    };
    let expects = quote_spanned!(value.span()=> <#value as ::mayfly::config::Value>::EXPECTS);
    quote! {
        ::mayfly::config::Argument {
            key: #key,
            takes: ::mayfly::config::Takes::#takes,
            expects: #expects,
            default: #default,
            required: #required,
            help: #help,
        }
    }
}

/// `field: value` of the struct's constructor.
fn read(index: usize, argument: &Argument) -> TokenStream {
    let Argument { field, value, .. } = argument;
    let known = quote!(&<Self as ::mayfly::config::BootArguments>::ARGUMENTS[#index]);
    let value = match &argument.kind {
        Kind::Required => quote!(values.required::<#value>(#known)?),
        Kind::DefaultText => quote!(values.or_default::<#value>(#known)?),
        Kind::Default(default) => quote! {
            match values.one::<#value>(#known)? {
                ::core::option::Option::Some(value) => value,
                ::core::option::Option::None => {
                    let default: #value = #default;
                    default
                }
            }
        },
        Kind::Optional => quote!(values.one::<#value>(#known)?),
        Kind::Flag(None) => quote!(values.flag(#known)?.unwrap_or(false)),
        Kind::Flag(Some(default)) => quote!(values.flag(#known)?.unwrap_or(#default)),
        Kind::OptionalFlag => quote!(values.flag(#known)?),
        Kind::List => quote!(values.list::<#value>(#known)?),
    };
    quote!(#field: #value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(item: TokenStream) -> String {
        match expand(item) {
            Ok(code) => panic!("accepted: {code}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_code_is_rust() {
        let code = expand(quote! {
            struct Args {
                /// Where to listen.
                #[arg(default = 80)]
                port: u16,
                #[arg(name = "type")]
                kind: Option<String>,
                verbose: bool,
                peers: Vec<core::net::IpAddr>,
            }
        });
        let code = code.expect("accepted");
        assert!(code.to_string().contains("\"Where to listen.\""));
        assert!(code.to_string().contains("\"type\""));
        syn::parse2::<syn::File>(code).expect("items of Rust");
        expand(quote!(
            struct Nothing;
        ))
        .expect("accepted");
    }

    #[test]
    fn what_cannot_be_boot_arguments_is_refused() {
        for (item, reason) in [
            (quote! { struct A<T> { a: T } }, "generic"),
            (quote! { enum A { B } }, "struct"),
            (quote! { struct A(u8); }, "named fields"),
        ] {
            assert!(refusal(item).contains(reason), "{reason}");
        }
    }

    #[test]
    fn fields_that_make_no_sense_are_refused() {
        for (item, reason) in [
            (quote! { struct A { #[arg(defualt = 1)] a: u8 } }, "default"),
            (quote! { struct A { #[arg(default = 1)] a: Vec<u8> } }, "empty"),
            (quote! { struct A { a_b: u8, #[arg(name = "a-b")] c: u8 } }, "two"),
        ] {
            assert!(refusal(item).contains(reason), "{reason}");
        }
    }
}
