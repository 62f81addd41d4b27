//! `new`, and the page of the guide that goes on from there: its commands, typed in the new app, which
//! lies outside of the checkout.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::debugger::gdb;
use super::site;
use super::typed::{INTERRUPTED, Typed};
use crate::paths;
use crate::run::{Forward, Protocol, answers, choose_host_ports};
use crate::shared::Lock;
use crate::temporary::TemporaryDirectory;
use crate::test::examples::client;

/// The page of the guide that goes on from the new app.
const PAGE: &str = "docs/guide/write-an-app.md";

/// What `new` says before the command that comes next.
const HINT: &str = "Run it:  ";

/// Where the new app lies, below a directory for it: people have such names.
const PLACE: &str = "it's mine/greeter";

/// Where it is kept what of the app was compiled, so that only the first time takes long.
const KEPT: &str = "target/new";

/// Someone who follows the page.
struct Reader {
    page: String,
    app: PathBuf,
}

/// The new app greets, and becomes the one of the guide, which answers.
pub fn guide() -> Result<()> {
    let kept = paths::repository().join(KEPT);
    fs::create_dir_all(&kept)?;
    let _lock = Lock::of(&kept)?;
    // All of it would be compiled anew for an app that lies elsewhere.
    let mut hasher = DefaultHasher::new();
    paths::repository().hash(&mut hasher);
    let directory = TemporaryDirectory::named(&format!("mayfly-new-{:016x}", hasher.finish()))?;
    let app = directory.path().join(PLACE);
    greets(&app, &kept)?;
    let page = fs::read_to_string(paths::repository().join(PAGE))
        .with_context(|| format!("cannot read {PAGE}"))?;
    let reader = Reader { page, app };
    reader.change_app()?;
    reader.finds_source()?;
    reader.is_answered("cargo xtask run .", "Good day 10.0.2.2, you are number ")?;
    let greeting = "cargo xtask run . -- greeting='Good morning'";
    reader.is_answered(greeting, "Good morning 10.0.2.2, you are number ")?;
    let mistake = reader.types("cargo xtask run . -- greting='Good morning'")?.end()?;
    mistake.with(1)?.saying("unknown boot argument `greting`; did you mean `greeting`?")?;
    let help = reader.types("cargo xtask run . -- --help")?.end()?.with(0)?;
    ensure!(help.stdout.contains("What to say."), "no help:\n{}", help.text);
    let told = reader.types("cargo xtask describe .")?.end()?.with(0)?.stdout;
    let is_told = told.starts_with("greeter ") && told.contains("greeting=VALUE");
    ensure!(is_told && told.contains("What to say."), "it is described as:\n{told}");
    reader.takes_it_away()
}

/// Makes the app, which compiles to `kept`, and types what `new` says comes next.
fn greets(app: &Path, kept: &Path) -> Result<()> {
    let path = app.to_str().context("a path is not UTF-8")?;
    let created = Typed::new(&["new", path])?.end()?.with(0)?;
    let next = created.text.lines().find_map(|line| line.strip_prefix(HINT));
    let next = next.with_context(|| format!("it says not what is next:\n{}", created.text))?;
    std::os::unix::fs::symlink(kept, app.join("target"))?;
    let ended = shell(next, Path::new("/"))?.end()?.with(0)?;
    ensure!(ended.stdout.contains("Good day, world!"), "it does not greet:\n{}", ended.text);
    // As its source says.
    let ended = shell("exec cargo xtask run . -- name=Ada", app)?.end()?.with(0)?;
    ended.saying("Good day, Ada!").map(drop)
}

impl Reader {
    /// Makes the app what the page says.
    fn change_app(&self) -> Result<()> {
        let block = |language| {
            block(&self.page, language).with_context(|| format!("{PAGE} has no {language}"))
        };
        fs::write(self.app.join("src/main.rs"), block("rust")?)?;
        let manifest = self.app.join("Cargo.toml");
        let ports = block("toml")?.lines().last().context("no ports")?;
        let changed =
            fs::read_to_string(&manifest)?.replace("\nports = []\n", &format!("\n{ports}\n"));
        ensure!(changed.contains(ports), "the new app has no list of ports to fill");
        Ok(fs::write(&manifest, changed)?)
    }

    /// Types a line of the page in the app's directory.
    fn types(&self, line: &str) -> Result<Typed> {
        ensure!(self.page.contains(&format!("\n{line}\n")), "{PAGE} does not have `{line}`");
        // In place of the shell, so that its status is that of the command.
        shell(&format!("exec {line}"), &self.app)
    }

    /// gdb finds the source of the app, wherever it is started.
    fn finds_source(&self) -> Result<()> {
        let source = fs::read_to_string(self.app.join("src/main.rs"))?;
        let mut lines = source.lines().enumerate();
        let found = lines.find(|(_, line)| line.contains("machine.arguments()?"));
        let (number, line) = found.context("the app takes no arguments")?;
        let mut run = shell("exec cargo xtask run . --gdb", &self.app)?;
        let place = format!("break src/main.rs:{}", number + 1);
        gdb(&mut run, &[&place, "continue", "list"])?.saying(line)?;
        run.press_ctrl_c()?;
        run.end()?.with(INTERRUPTED).map(drop)
    }

    /// Types a line, gets the URL that it prints, and sees `words` in the answer, until Ctrl-C.
    fn is_answered(&self, line: &str, words: &str) -> Result<()> {
        let mut run = self.types(line)?;
        let url = site::url(&mut run)?;
        greets_at(&url, words).with_context(|| format!("of `{line}`"))?;
        run.press_ctrl_c()?;
        run.end()?.with(INTERRUPTED).map(drop)
    }

    /// The image boots without all of this, by the page's command line for QEMU. It is the one for
    /// development, since that has been built already, at a port that is free.
    fn takes_it_away(&self) -> Result<()> {
        let (_, rest) = self.page.split_once("\nimage=").context("the page names no image")?;
        let (lines, _) = rest.split_once("\n```\n").context("a block has no end")?;
        let mut forwards = [Forward { host: 0, guest: 80, protocol: Protocol::Http }];
        let _reserved = choose_host_ports(&mut forwards)?;
        let port = forwards[0].host;
        let lines = lines.replace("/release/", "/dev/").replace(":8080-", &format!(":{port}-"));
        let mut run =
            shell(&format!("image={}", lines.replace("\nqemu", "\nexec qemu")), &self.app)?;
        run.until("answer", |_, _| answers(port).then_some(()))?;
        greets_at(&format!("http://127.0.0.1:{port}/"), "Hello 10.0.2.2, you are number ")
    }
}

/// curl gets an answer that begins with `words`.
fn greets_at(url: &str, words: &str) -> Result<()> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "30", url]);
    let answer = client::run(&mut curl, &[])?.stdout;
    let answer = String::from_utf8_lossy(&answer);
    ensure!(answer.starts_with(words), "the answer is {answer}");
    Ok(())
}

/// Types a line in `directory`.
fn shell(line: &str, directory: &Path) -> Result<Typed> {
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(directory);
    Typed::start(shell, Stdio::null())
}

/// The first block of code in `language` on a page of Markdown.
fn block<'a>(page: &'a str, language: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(&format!("\n```{language}\n"))?;
    rest.split_once("\n```\n").map(|(block, _)| block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_by_their_language() {
        let page = "a\n```sh\nls\n```\nb\n```rust\nfn f() {\n}\n```\nc\n";
        assert_eq!(block(page, "rust"), Some("fn f() {\n}"));
        assert_eq!(block(page, "toml"), None);
    }
}
