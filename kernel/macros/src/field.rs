//! A field of a struct of boot arguments: what its type and attributes say.

use quote::ToTokens;
use syn::{
    Attribute, Error, Expr, ExprLit, Field, GenericArgument, Ident, Lit, LitStr, Meta,
    PathArguments, Result, Type, spanned::Spanned,
};

/// How the field's type is read from the command line.
pub enum Kind {
    /// `T`.
    Required,
    /// `T` with a default that is an expression of type `T`.
    Default(Expr),
    /// `T` with a default that is parsed like the command line.
    DefaultText,
    /// `Option<T>`.
    Optional,
    /// `bool`, and what it is when it is not given.
    Flag(Option<Expr>),
    /// `Option<bool>`.
    OptionalFlag,
    /// `Vec<T>`.
    List,
}

/// One field.
pub struct Argument {
    /// The field's name.
    pub field: Ident,
    /// The key on the command line.
    pub key: String,
    /// `T`: the type of one value.
    pub value: Type,
    /// How it is read.
    pub kind: Kind,
    /// Text of the default, for the help.
    pub default: Option<String>,
    /// Text of the doc comment.
    pub help: String,
}

impl Argument {
    /// Reads one field.
    pub fn new(field: &Field) -> Result<Self> {
        let Some(name) = field.ident.clone() else {
            return Err(Error::new_spanned(field, "boot arguments need named fields"));
        };
        let options = Options::new(&field.attrs)?;
        let default = options.default.as_ref().map(text);
        let (value, kind) = kind(&field.ty, options.default)?;
        let key = match options.name {
            Some(name) => name.value(),
            None => name.to_string().trim_start_matches("r#").replace('_', "-"),
        };
        Ok(Self { field: name, key, value, kind, default, help: documentation(&field.attrs) })
    }
}

/// What `#[arg(…)]` says.
#[derive(Default)]
struct Options {
    default: Option<Expr>,
    name: Option<LitStr>,
}

impl Options {
    fn new(attributes: &[Attribute]) -> Result<Self> {
        let mut options = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("arg")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("default") {
                    options.default = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("name") {
                    options.name = Some(meta.value()?.parse()?);
                } else {
                    return Err(meta.error("expected `default = …` or `name = \"…\"`"));
                }
                Ok(())
            })?;
        }
        Ok(options)
    }
}

/// How a field of this type and with this default is read, and the type of one value of it.
fn kind(ty: &Type, default: Option<Expr>) -> Result<(Type, Kind)> {
    let wrapped = |wrapper| inner(ty, wrapper).cloned();
    if let Some(value) = wrapped("Option").or_else(|| wrapped("Vec")) {
        if let Some(default) = default {
            let message = "an Option is None and a Vec is empty when it is not given; for another \
                           default, use the plain type";
            return Err(Error::new(default.span(), message));
        }
        let kind = match (is_bool(&value), inner(ty, "Vec").is_some()) {
            (_, true) => Kind::List,
            (true, false) => Kind::OptionalFlag,
            (false, false) => Kind::Optional,
        };
        return Ok((value, kind));
    }
    let kind = match default {
        default if is_bool(ty) => Kind::Flag(default),
        Some(Expr::Lit(ExprLit { lit: Lit::Str(_), .. })) => Kind::DefaultText,
        Some(default) => Kind::Default(default),
        None => Kind::Required,
    };
    Ok((ty.clone(), kind))
}

/// `T`, if the type is spelled `wrapper<T>`.
fn inner<'a>(ty: &'a Type, wrapper: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == wrapper)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(inner)) if arguments.args.len() == 1 => Some(inner),
        _ => None,
    }
}

fn is_bool(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.is_ident("bool"))
}

/// A default as the help shows it: the contents of a string, the source of anything else.
fn text(default: &Expr) -> String {
    match default {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => text.value(),
        Expr::Lit(ExprLit { lit: Lit::Bool(flag), .. }) if flag.value => "yes".to_owned(),
        Expr::Lit(ExprLit { lit: Lit::Bool(_), .. }) => "no".to_owned(),
        other => other.to_token_stream().to_string(),
    }
}

/// The doc comment, its lines joined.
pub fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) => Some(line.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
