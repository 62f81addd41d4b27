//! The description that an image carries of itself.
//!
//! The section `.mayfly.describe` of an image holds records, each one a JSON object (RFC 8259) in
//! UTF-8 on one line, ending in a newline. Between records there may be NUL bytes (alignment),
//! which a reader skips, as it does objects and members that it does not know.
//!
//! `#[mayfly::main]` writes the record of the app:
//!
//! ```json
//! {"mayfly":1,"app":{"name":"http","version":"0.1.0","about":"Serves a small web site"}}
//! ```
//!
//! `#[derive(BootArguments)]` writes one with the keys of the struct, in the order of its fields:
//!
//! ```json
//! {"mayfly":1,"app":{…},"arguments":[{"key":"port","takes":"value","required":false,
//!   "expects":"a whole number from 1 to 65535","default":"80","help":"TCP port to listen on."}]}
//! ```
//!
//! | member | value |
//! |---|---|
//! | `mayfly` | version of this format, the number 1 |
//! | `app` | package name, version and description (may be empty) |
//! | `key` | name of the boot argument |
//! | `takes` | `"value"`: `key=value` once; `"flag"`: `key`, `key=yes` or `key=no`; `"list"`: `key=value,value`, any number of times |
//! | `required` | whether it must be given |
//! | `expects` | what a value looks like, as the middle of a sentence |
//! | `default` | text of the value when it is not given, or null |
//! | `help` | what it is for (may be empty) |
//!
//! An image may hold several records with arguments, from structs in several crates. The records
//! are made by the compiler, so they cost an image their bytes and no instruction.

use super::{App, Argument};

/// Number of bytes in the record of `app`, with its keys if it has any.
pub const fn length(app: &App, arguments: Option<&[Argument]>) -> usize {
    Writer::<0>::record(app, arguments).length
}

/// The record of `app`; `N` is its [`length`].
pub const fn record<const N: usize>(app: &App, arguments: Option<&[Argument]>) -> [u8; N] {
    Writer::<N>::record(app, arguments).bytes
}

/// Writes into an array as far as it has room, and counts.
struct Writer<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Writer<N> {
    const fn record(app: &App, arguments: Option<&[Argument]>) -> Self {
        let mut writer = Self { bytes: [0; N], length: 0 };
        writer.raw("{\"mayfly\":1,\"app\":{");
        writer.member("name", app.name);
        writer.raw(",");
        writer.member("version", app.version);
        writer.raw(",");
        writer.member("about", app.about);
        writer.raw("}");
        if let Some(arguments) = arguments {
            writer.raw(",\"arguments\":[");
            let mut i = 0;
            while i < arguments.len() {
                writer.raw(if i == 0 { "{" } else { ",{" });
                writer.argument(&arguments[i]);
                writer.raw("}");
                i += 1;
            }
            writer.raw("]");
        }
        writer.raw("}\n");
        writer
    }

    const fn argument(&mut self, argument: &Argument) {
        self.member("key", argument.key);
        self.raw(",");
        self.member("takes", argument.takes.name());
        self.raw(if argument.required { ",\"required\":true," } else { ",\"required\":false," });
        self.member("expects", argument.expects);
        match argument.default {
            Some(default) => {
                self.raw(",");
                self.member("default", default);
            }
            None => self.raw(",\"default\":null"),
        }
        self.raw(",");
        self.member("help", argument.help);
    }

    /// `"name":"text"`.
    const fn member(&mut self, name: &str, text: &str) {
        self.raw("\"");
        self.raw(name);
        self.raw("\":\"");
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            self.escaped(bytes[i]);
            i += 1;
        }
        self.raw("\"");
    }

    /// One byte of a JSON string. Bytes of multi-byte characters stand for themselves.
    const fn escaped(&mut self, byte: u8) {
        match byte {
            b'"' => self.raw("\\\""),
            b'\\' => self.raw("\\\\"),
            b'\n' => self.raw("\\n"),
            0..0x20 => {
                self.raw(if byte < 0x10 { "\\u000" } else { "\\u001" });
                self.push(b"0123456789abcdef"[(byte % 16) as usize]);
            }
            _ => self.push(byte),
        }
    }

    const fn raw(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut i = 0;
        while i < bytes.len() {
            self.push(bytes[i]);
            i += 1;
        }
    }

    const fn push(&mut self, byte: u8) {
        if self.length < N {
            self.bytes[self.length] = byte;
        }
        self.length += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Takes, *};

    const APP: App = App { name: "a", version: "1.2.3", about: "says \"hi\\\"\tö" };
    const PORT: Argument = Argument {
        key: "port",
        takes: Takes::Value,
        expects: "a number",
        default: Some("80"),
        required: false,
        help: "First line.\nSecond.",
    };
    const NAME: Argument = Argument { key: "name", default: None, required: true, ..PORT };

    #[test]
    fn a_record_is_one_line_of_json() {
        static RECORD: [u8; length(&APP, None)] = record(&APP, None);
        let text = core::str::from_utf8(&RECORD).expect("UTF-8");
        let app = r#"{"mayfly":1,"app":{"name":"a","version":"1.2.3","#;
        assert_eq!(text, [app, r#""about":"says \"hi\\\"\u0009ö"}}"#, "\n"].concat());
    }

    #[test]
    fn arguments_are_listed_in_order() {
        const ARGUMENTS: Option<&[Argument]> = Some(&[PORT, NAME]);
        static RECORD: [u8; length(&APP, ARGUMENTS)] = record(&APP, ARGUMENTS);
        let text = core::str::from_utf8(&RECORD).expect("UTF-8");
        let (_, list) = text.split_once("\"arguments\":").expect("has arguments");
        let first = r#"[{"key":"port","takes":"value","required":false,"expects":"a number","#;
        let first_end = r#""default":"80","help":"First line.\nSecond."},"#;
        let second = r#"{"key":"name","takes":"value","required":true,"expects":"a number","#;
        let second_end = r#""default":null,"help":"First line.\nSecond."}]}"#;
        assert_eq!(list, [first, first_end, second, second_end, "\n"].concat());
    }
}
