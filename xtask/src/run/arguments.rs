//! Boot arguments of apps that take none: nobody would tell the user that they mean nothing.

use std::path::Path;

use anyhow::{Result, bail};

use crate::describe;

/// Checks the words after `--`, if the app in this ELF file takes none of its own; all others check
/// them themselves. Returns whether they ask for help, which has been printed then.
///
/// # Errors
/// If one is no key of the system's.
pub fn check(elf: &Path, arguments: &[String]) -> Result<bool> {
    if arguments.is_empty() {
        return Ok(false);
    }
    let description = describe::of(elf)?;
    let takes_some = description["arguments"].as_array().is_some_and(|list| !list.is_empty());
    if takes_some || description["app"].is_null() {
        return Ok(false);
    }
    if asks_for_help(arguments) {
        print!("{}", describe::text(&description));
        return Ok(true);
    }
    if let Some(unknown) = unknown(arguments) {
        let name = description["app"]["name"].as_str().unwrap_or("this app");
        bail!(
            "{name} takes no boot arguments of its own, and the system has no key `{unknown}`; \
             `cargo xtask describe {name}` lists those that it has"
        );
    }
    Ok(false)
}

fn asks_for_help(arguments: &[String]) -> bool {
    arguments.iter().any(|word| word == "--help" || word == "help")
}

/// The key of the first word that the system does not know.
fn unknown<'a>(arguments: &'a [String]) -> Option<&'a str> {
    const QUOTES: [char; 3] = ['\'', '"', '\\'];
    // Where there are quotes, white space may be part of a value: what is before is not.
    let words =
        |argument: &'a String| argument.split(QUOTES).next().unwrap_or_default().split_whitespace();
    arguments.iter().flat_map(words).find_map(|word| {
        let word = word.strip_prefix("--").unwrap_or(word);
        let key = word.split_once('=').map_or(word, |(key, _)| key);
        (!describe::is_system_key(key)).then_some(key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_nobody_reads_are_found() {
        let words = |line: &str| -> Vec<String> { line.split(',').map(Into::into).collect() };
        for line in [
            "ip=10.0.0.2/24",
            "--log=debug,net1.ip=off",
            "mayfly.exit=halt",
            "log='info net=debug'",
            "ip=off log=info",
        ] {
            assert_eq!(unknown(&words(line)), None, "{line}");
        }
        for line in ["ip=off,port=8080", "--port=1", "port", "ip=off port=80", "port='8 0'"] {
            assert_eq!(unknown(&words(line)), Some("port"), "{line}");
        }
        assert!(asks_for_help(&words("ip=off,--help")) && !asks_for_help(&words("ip=off")));
    }
}
