//! Running other programs.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// How a command would be typed, for messages.
pub fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| quote(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// `word` as a shell would have to be given it.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// What a command prints on standard output. Its errors go to ours.
///
/// # Errors
/// If it cannot be started, or fails.
pub fn output(command: &mut Command) -> Result<String> {
    command.stderr(Stdio::inherit());
    let output = command.output().with_context(|| cannot_start(command))?;
    if !output.status.success() {
        bail!("`{}` failed ({})", describe(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command to its end.
///
/// # Errors
/// If it cannot be started, or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("`{}` failed ({status})", describe(command));
    }
    Ok(())
}

/// The message for a command that cannot be started.
pub fn cannot_start(command: &Command) -> String {
    format!(
        "cannot start `{}`; `cargo xtask doctor` says how to install what is missing",
        command.get_program().to_string_lossy()
    )
}

/// Has `command` started by `wrapper`, a program that takes another one's command line.
pub fn wrapped(mut wrapper: Command, command: &Command) -> Command {
    wrapper.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapper.env(name, value),
            None => wrapper.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        wrapper.current_dir(directory);
    }
    wrapper
}

/// The same command once more.
pub fn copy(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args());
    copy
}

/// Has the operating system end `command` when the thread that starts it ends, however that comes
/// about, if there is the tool for it.
pub fn dying_with_us(command: Command) -> Command {
    let Some(setpriv) = find("setpriv") else { return command };
    let mut wrapper = Command::new(setpriv);
    wrapper.arg("--pdeathsig=TERM").arg("--");
    wrapped(wrapper, &command)
}

/// Where the program `name` is, if the search path has it.
pub fn find(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_they_would_be_typed() {
        let mut command = Command::new("qemu");
        command.args(["-append", "a=1 b=it's", "", "-m", "64M"]);
        assert_eq!(describe(&command), r"qemu -append 'a=1 b=it'\''s' '' -m 64M");
    }
}
