//! Commands that make images, or tell about them: `build`, `describe`, `size`, `bench boot`.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::typed::Typed;
use crate::arch::Arch;
use crate::temporary::TemporaryDirectory;

/// What tells the images apart, and where in them it is: ELF on x86-64, the magic numbers of
/// Linux's `Image` (Documentation/arch/arm64/booting.rst) and `zImage` (arch/arm/boot/compressed).
const MAGICS: [(Arch, usize, &[u8]); 3] = [
    (Arch::X86_64, 0, b"\x7fELF"),
    (Arch::Aarch64, 56, b"ARM\x64"),
    (Arch::Armv7, 36, &0x016f_2818_u32.to_le_bytes()),
];

/// How much older than it is a file may seem: clocks of file systems tick.
const TICK: Duration = Duration::from_secs(1);

/// `build` prints the paths of the images, and nothing else, on standard output; the images are there,
/// in the forms that loaders take, and new.
pub fn prints_paths() -> Result<()> {
    let start = SystemTime::now();
    let ended = Typed::new(&["build", "timer", "--arch", "all"])?.end()?.with(0)?;
    let paths: Vec<&Path> = ended.stdout.lines().map(Path::new).collect();
    ensure!(paths.len() == MAGICS.len(), "these are not three paths:\n{}", ended.stdout);
    for (path, (arch, offset, magic)) in paths.into_iter().zip(MAGICS) {
        let image = fs::read(path).with_context(|| format!("no image is at {}", path.display()))?;
        let is_one = image.get(offset..).is_some_and(|rest| rest.starts_with(magic));
        ensure!(is_one, "{} is no image for {arch}", path.display());
        ensure!(path.with_extension("elf").is_file(), "{} has no .elf file", path.display());
        let modified = path.metadata()?.modified()?;
        ensure!(modified + TICK > start, "{} was not built now", path.display());
    }
    Ok(())
}

/// `describe` reads what an app is and takes from an image, wherever that lies; as text, and as JSON.
pub fn describes_images() -> Result<()> {
    let built = Typed::new(&["build", "http"])?.end()?.with(0)?.stdout;
    let image = Path::new(built.trim_end());
    let elsewhere = TemporaryDirectory::new()?;
    let copy = elsewhere.path().join("taken");
    fs::copy(image, &copy)?;
    fs::copy(image.with_extension("elf"), copy.with_extension("elf"))?;
    let copy = copy.to_str().context("a path is not UTF-8")?;
    let text = Typed::new(&["describe", copy])?.end()?.with(0)?.stdout;
    ensure!(text.starts_with("http "), "it does not name the app first:\n{text}");
    ensure!(text.contains("port=VALUE ") && text.contains("80 if not given"), "no port:\n{text}");

    let told = json(&["describe", "http", "--json"])?;
    let keys = |list: &Value| -> Vec<String> {
        let list = list.as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|one| Some(one["key"].as_str()?.to_owned())).collect()
    };
    let (own, system) = (keys(&told["arguments"]), keys(&told["system"]));
    ensure!(told["app"]["name"] == "http", "it tells of another app: {told}");
    ensure!(own.contains(&"idle-timeout".into()) && !own.contains(&"ip".into()), "{own:?}");
    ensure!(system.contains(&"ip".into()), "the keys of the system are {system:?}");
    Ok(())
}

/// `size --json` gives the sizes of an image, by section and by crate.
pub fn tells_sizes() -> Result<()> {
    let told = json(&["size", "hello", "--arch", "x86_64", "--json"])?;
    let [image] = told.as_array().map(Vec::as_slice).unwrap_or_default() else {
        anyhow::bail!("these are not the sizes of one image: {told}")
    };
    ensure!(image["app"] == "hello" && image["arch"] == "x86_64", "of which image are {image}?");
    let size = |value: &Value| value.as_u64().filter(|&size| size > 0).context("a size is missing");
    let (loaded, memory) = (size(&image["loaded"])?, size(&image["memory"])?);
    let text = size(&image["sections"][".text"])?;
    ensure!(text < loaded && loaded < memory, "the sizes contradict each other: {image}");
    let crates = image["crates"].as_object().context("there are no crates")?;
    ensure!(crates.contains_key("hello"), "the app is none of the crates: {crates:?}");
    Ok(())
}

/// `bench boot --json` gives the steps of a boot, with what they take.
pub fn counts_instructions() -> Result<()> {
    let words = ["bench", "boot", "hello", "--arch", "x86_64", "--runs", "1", "--json"];
    let told = json(&words)?;
    let steps = told["x86_64"].as_array().context("there are no steps")?;
    let counts: Option<Vec<u64>> = steps.iter().map(|step| step["instructions"].as_u64()).collect();
    let counts = counts.with_context(|| format!("a count is missing: {told}"))?;
    ensure!(counts.len() > 2 && counts.is_sorted(), "these are not the steps of a boot: {told}");
    let last = steps.last().and_then(|step| step["step"].as_str()).unwrap_or_default();
    ensure!(last.contains("main"), "the last step is `{last}`");
    Ok(())
}

/// What a command prints on standard output, which is JSON and nothing else.
fn json(words: &[&str]) -> Result<Value> {
    let ended = Typed::new(words)?.end()?.with(0)?;
    let what = || format!("this is no JSON:\n{}", ended.stdout);
    serde_json::from_str(&ended.stdout).with_context(what)
}
