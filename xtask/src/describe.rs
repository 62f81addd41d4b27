//! `describe`: what an image says about itself.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use object::{Object, ObjectSection};
use serde_json::{Value, json};

use crate::arch::Arch;
use crate::build::{self, What};

/// The keys that every app has.
#[path = "../../kernel/src/config/system_keys.rs"]
mod system_keys;

pub use system_keys::is_system_key;

/// The section that `kernel/src/config/describe.rs` documents.
const SECTION: &str = ".mayfly.describe";

/// Prints what an app is and which boot arguments it takes, from its image.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask describe http
  cargo xtask describe target/mayfly/x86_64/dev/http --json")]
pub struct Options {
    #[command(flatten)]
    what: What,
    /// Architecture to build for.
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Arch,
    /// Prints JSON: an object with `app`, `arguments` and `system`, the keys of every app.
    #[arg(long)]
    json: bool,
}

impl Options {
    /// Builds the image, unless one was given, and prints its description.
    pub fn execute(&self) -> Result<u8> {
        let elf = match elf_of(Path::new(&self.what.app)) {
            Some(elf) => elf,
            None => build::build(&self.what.find()?, self.arch, &self.what.how)?.elf,
        };
        let description = of(&elf)?;
        if self.json {
            println!("{description}");
        } else {
            print!("{}", text(&description));
        }
        Ok(0)
    }
}

/// What the image in an ELF file says: an object with `app`, `arguments` and `system`.
///
/// # Errors
/// If it cannot be read, or is none of Mayfly's.
pub fn of(elf: &Path) -> Result<Value> {
    let bytes = std::fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    describe(&section(&bytes)?)
}

/// The ELF file of an image that `build` has made, if that is what was given: it is beside the image.
fn elf_of(given: &Path) -> Option<PathBuf> {
    if given.extension().is_some_and(|extension| extension == "elf") {
        return Some(given.to_owned());
    }
    let mut beside = given.as_os_str().to_owned();
    beside.push(".elf");
    let beside = PathBuf::from(beside);
    (given.is_file() && beside.is_file()).then_some(beside)
}

/// The content of the section, empty if the image has none.
fn section(elf: &[u8]) -> Result<String> {
    let file = object::File::parse(elf).context("the image is no ELF file")?;
    let data = file.section_by_name(SECTION).map(|section| section.data()).transpose()?;
    Ok(String::from_utf8_lossy(data.unwrap_or_default()).into_owned())
}

/// Puts the records of a section together: lines of JSON, with NUL bytes between them.
fn describe(section: &str) -> Result<Value> {
    let mut app = Value::Null;
    let mut arguments = Vec::new();
    for line in section.split(['\n', '\0']).filter(|line| !line.trim().is_empty()) {
        let record: Value =
            serde_json::from_str(line).with_context(|| format!("the image's record `{line}`"))?;
        match record.get("arguments").and_then(Value::as_array) {
            Some(list) => arguments.extend(list.iter().cloned()),
            None => app = record["app"].clone(),
        }
        if app.is_null() {
            app = record["app"].clone();
        }
    }
    let system = system_keys::SYSTEM_KEYS.iter();
    let system: Vec<_> = system.map(|(key, help)| json!({ "key": key, "help": help })).collect();
    Ok(json!({ "app": app, "arguments": arguments, "system": system }))
}

/// The description for people.
pub fn text(description: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let app = &description["app"];
    let mut text = format!("{} {}", word(&app["name"]), word(&app["version"])).trim().to_owned();
    if !word(&app["about"]).is_empty() {
        text += &format!(": {}", word(&app["about"]));
    }
    let arguments = description["arguments"].as_array().cloned().unwrap_or_default();
    text += match arguments.is_empty() {
        true => "\nIt takes no boot arguments of its own.\n",
        false => "\nBoot arguments, after `--` of `cargo xtask run`:\n",
    };
    for argument in &arguments {
        let key = word(&argument["key"]);
        let form = match argument["takes"].as_str() {
            Some("flag") => key,
            Some("list") => format!("{key}=VALUE,…"),
            _ => format!("{key}=VALUE"),
        };
        let default = match (&argument["default"], argument["required"].as_bool()) {
            (Value::String(default), _) => format!("; {default} if not given"),
            (_, Some(true)) => "; must be given".into(),
            _ => String::new(),
        };
        let help = word(&argument["help"]);
        text += &format!("  {form:<24} {help}\n");
        text += &format!("  {:<24} {}{default}\n", "", word(&argument["expects"]));
    }
    text += "Those of the system, for any app:\n";
    for (key, help) in system_keys::SYSTEM_KEYS {
        text += &format!("  {:<24} {help}\n", format!("{key}=VALUE"));
    }
    text += &format!("  {:<24} the same for the second network, and so on\n", "net1.ip=VALUE, …");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: &str = concat!(
        r#"{"mayfly":1,"app":{"name":"http","version":"0.1.0","about":"Serves a site"}}"#,
        "\n\0\0",
        r#"{"mayfly":1,"app":{"name":"http","version":"0.1.0","about":""},"arguments":[{"key":"port","#,
        r#""takes":"value","required":false,"expects":"a whole number","default":"80","help":"Port."},"#,
        r#"{"key":"quiet","takes":"flag","required":true,"expects":"yes or no","default":null,"help":""}]}"#,
        "\n",
    );

    #[test]
    fn records_are_put_together() {
        let description = describe(RECORDS).unwrap();
        assert_eq!(description["app"]["about"], "Serves a site");
        assert_eq!(description["arguments"].as_array().unwrap().len(), 2);
        assert!(describe("not json").is_err());
    }

    #[test]
    fn the_text_names_each_key_and_its_default() {
        let text = text(&describe(RECORDS).unwrap());
        assert!(text.starts_with("http 0.1.0: Serves a site\n"));
        assert!(text.contains("port=VALUE") && text.contains("a whole number; 80 if not given"));
        assert!(text.contains("yes or no; must be given"));
        assert!(text.contains("\n  ip=VALUE                 IPv4 address"));
        assert!(text.contains("\n  net1.ip=VALUE, …         the same"));
        assert!(super::text(&describe("").unwrap()).contains("no boot arguments"));
    }
}
