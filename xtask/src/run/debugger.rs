//! How to attach gdb to a guest.

use crate::app::App;
use crate::build::{self, Image};
use crate::tools;

/// The command that starts gdb on a guest of `app` that waits at `port`; it can be typed anywhere.
pub fn command_line(app: &App, image: &Image, port: u16) -> String {
    // Debian's plain gdb knows only the machine that it runs on.
    let foreign = image.arch.name() != std::env::consts::ARCH;
    let gdb = if foreign { "gdb-multiarch" } else { "gdb" };
    let sources = build::prefixes(app).into_iter().map(|(directory, stands_for)| {
        format!("set substitute-path {stands_for} {}", word(&directory.to_string_lossy()))
    });
    let commands = sources.chain([
        format!("target remote 127.0.0.1:{port}"),
        // Not the entry point: there the image is not yet mapped where it was linked.
        "hbreak __mayfly_start".to_owned(),
        "continue".to_owned(),
    ]);
    let commands = commands.map(|command| format!(" -ex {}", tools::quote(&command)));
    let elf = image.elf.to_string_lossy();
    format!("{gdb} {}{}", tools::quote(&elf), commands.collect::<String>())
}

/// A path as gdb has to be given it, which splits commands into words.
fn word(path: &str) -> String {
    let special = |c: char| c.is_whitespace() || "'\"\\".contains(c);
    path.chars().fold(String::new(), |mut word, c| {
        word.extend(special(c).then_some('\\'));
        word.push(c);
        word
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;

    #[test]
    fn gdb_is_told_where_the_sources_of_an_app_outside_are() {
        let app = App {
            manifest: "/it's mine/app/Cargo.toml".into(),
            package: "app".into(),
            binary: "app".into(),
            target_directory: "/it's mine/app/target".into(),
            workspace: "/it's mine/app".into(),
            metadata: serde_json::Value::Null,
        };
        let elf = app.target_directory.join("app.elf");
        let image = Image { arch: Arch::X86_64, path: elf.clone(), elf };
        let line = command_line(&app, &image, 1234);
        assert!(line.contains(r" '/it'\''s mine/app/target/app.elf' -ex"), "{line}");
        let app = tools::quote(r"set substitute-path /app /it\'s\ mine/app");
        assert!(line.contains(&app), "{line}");
        assert!(line.contains("-ex 'set substitute-path /mayfly "), "{line}");
        assert!(line.contains("-ex 'target remote 127.0.0.1:1234' -ex 'hbreak "), "{line}");
    }
}
