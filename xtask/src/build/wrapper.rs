//! The linker that cargo calls: it keeps what is to be linked, for [`super::link`] to link later.
//!
//! rustc deletes its object files when its linker has ended, so they are kept beside the output as
//! hard links. The output itself is only a note of where they are. Cargo takes that note for the
//! executable and knows when it is fresh, and the image can be linked again, at another address,
//! without compiling anything.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::optimize;

/// First line of the note that stands where cargo expects the executable.
const NOTE: &str = "to be linked by cargo xtask build (3)";

/// Name of the list of arguments among the files kept.
const ARGUMENTS: &str = "arguments";

/// What rustc would have had linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInputs {
    /// The arguments of the linker that name inputs or say how to treat them, in order.
    pub arguments: Vec<String>,
}

/// Whether these command line arguments, the program's name first, are those that rustc gives to a
/// linker of the kind that the bare-metal targets use: LLVM's, called by its generic name.
pub fn is_linker_call(arguments: &[String]) -> bool {
    arguments.get(1).is_some_and(|first| first == "-flavor")
}

/// Does the linker's job: keeps the inputs and writes the note.
///
/// # Errors
/// If the arguments are not what rustc gives, or a file cannot be kept.
pub fn save(arguments: &[String]) -> Result<()> {
    let arguments = expand_response_files(arguments)?;
    let output = arguments
        .windows(2)
        .find(|pair| pair[0] == "-o")
        .map(|pair| PathBuf::from(&pair[1]))
        .context("rustc called the linker without -o")?;
    let mut kept = output.clone().into_os_string();
    kept.push(".link");
    let kept = PathBuf::from(kept);
    if kept.exists() {
        fs::remove_dir_all(&kept).with_context(|| format!("cannot clear {}", kept.display()))?;
    }
    fs::create_dir_all(&kept).with_context(|| format!("cannot create {}", kept.display()))?;

    let mut files = Keeper { directory: kept.clone(), names: HashSet::new() };
    let wanted = without_output_options(&arguments);
    let list: Result<Vec<String>> = wanted.into_iter().map(|one| files.keep(one)).collect();
    let list = list?;
    if let Some((bitcode, object)) = whole_image(&output, &list) {
        // Beside it first: the object that is kept may be rustc's own file under another name.
        let better = kept.join("optimised");
        optimize::compile(&bitcode, Path::new(object), &better)?;
        fs::rename(&better, object).with_context(|| format!("cannot replace {object}"))?;
    }
    // Arguments can hold anything but this.
    fs::write(kept.join(ARGUMENTS), list.join("\0"))
        .with_context(|| format!("cannot write to {}", kept.display()))?;
    fs::write(&output, format!("{NOTE}\n{}\n", kept.display()))
        .with_context(|| format!("cannot write {}", output.display()))
}

/// Reads back what [`save`] kept, given the file that it left for an executable.
///
/// # Errors
/// If the file is not the note of this version of the program, or what was kept is gone: the app
/// has to be linked by cargo again.
pub fn load(note: &Path) -> Result<LinkInputs> {
    let text = fs::read(note).with_context(|| format!("cannot read {}", note.display()))?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines();
    let (Some(NOTE), Some(kept)) = (lines.next(), lines.next()) else {
        bail!("{} was not made by this version of xtask", note.display());
    };
    let list = Path::new(kept).join(ARGUMENTS);
    let list =
        fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    Ok(LinkInputs { arguments: list.split('\0').map(str::to_owned).collect() })
}

/// The bitcode that rustc has left beside `output` and the object file among `arguments` that holds
/// the same, if that is one: then rustc has optimised everything together.
fn whole_image<'a>(output: &Path, arguments: &'a [String]) -> Option<(PathBuf, &'a str)> {
    let mut bitcode = output.to_owned();
    bitcode.as_mut_os_string().push(".bc");
    let mut objects = arguments.iter().filter(|argument| argument.ends_with(".o"));
    let (object, None) = (objects.next()?, objects.next()) else { return None };
    bitcode.is_file().then_some((bitcode, object))
}

/// Keeps files that rustc is going to delete.
struct Keeper {
    directory: PathBuf,
    names: HashSet<String>,
}

impl Keeper {
    /// If `argument` is such a file, keeps it and gives its new path; else gives it unchanged.
    fn keep(&mut self, argument: String) -> Result<String> {
        let path = Path::new(&argument);
        let Some(name) = path.file_name().filter(|_| is_temporary(path)) else {
            return Ok(argument);
        };
        let mut name = name.to_string_lossy().into_owned();
        while !self.names.insert(name.clone()) {
            name.insert(0, '_');
        }
        let kept = self.directory.join(name);
        // A link costs nothing; it is not possible from another file system.
        fs::hard_link(path, &kept)
            .or_else(|_| fs::copy(path, &kept).map(|_| ()))
            .with_context(|| format!("cannot keep {}", path.display()))?;
        Ok(kept.to_string_lossy().into_owned())
    }
}

/// Whether `path` is a file that rustc deletes after linking: object files, and libraries that it
/// made in its own temporary directory.
fn is_temporary(path: &Path) -> bool {
    let is_object = path.extension().is_some_and(|extension| extension == "o");
    let in_temporary = path
        .parent()
        .and_then(Path::file_name)
        .is_some_and(|parent| parent.to_string_lossy().starts_with("rustc"));
    (is_object || in_temporary) && path.is_file()
}

/// Leaves out what [`super::link`] decides by itself: where the output goes and what kind it is.
fn without_output_options(arguments: &[String]) -> Vec<String> {
    const ALONE: [&str; 8] = [
        "-pie",
        "-no-pie",
        "-static-pie",
        "-static",
        "--eh-frame-hdr",
        "--gc-sections",
        "--no-dynamic-linker",
        "--strip-debug",
    ];
    const WITH_VALUE: [&str; 3] = ["-flavor", "-o", "-z"];
    let mut kept = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if WITH_VALUE.contains(&argument.as_str()) {
            rest.next();
        } else if !ALONE.contains(&argument.as_str()) && !argument.starts_with("-O") {
            kept.push(argument.clone());
        }
    }
    kept
}

/// Puts the content of response files in the place of `@FILE` arguments; rustc writes one when the
/// command line would be too long: one argument a line, special characters after a backslash.
fn expand_response_files(arguments: &[String]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for argument in arguments {
        let Some(file) = argument.strip_prefix('@') else {
            all.push(argument.clone());
            continue;
        };
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read arguments in {file}"))?;
        all.extend(text.lines().map(unescape));
    }
    Ok(all)
}

/// Takes the backslashes off a line of a response file.
fn unescape(line: &str) -> String {
    let mut characters = line.trim_matches('"').chars();
    let mut plain = String::new();
    while let Some(character) = characters.next() {
        plain.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temporary::TemporaryDirectory;

    fn strings(words: &str) -> Vec<String> {
        words.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn rustc_is_recognised() {
        assert!(is_linker_call(&strings("xtask -flavor gnu -o a")));
        assert!(!is_linker_call(&strings("xtask build http")));
    }

    #[test]
    fn options_of_the_output_are_left_out_and_inputs_stay_in_order() {
        let arguments =
            strings("-flavor gnu a.o -Bstatic b.rlib -z noexecstack -O1 -o x -L d -pie");
        assert_eq!(without_output_options(&arguments), strings("a.o -Bstatic b.rlib -L d"));
    }

    #[test]
    fn what_is_saved_is_loaded_even_after_the_objects_are_gone() {
        let temporary = TemporaryDirectory::new().unwrap();
        let directory = temporary.path();
        let object = directory.join("a.o");
        fs::write(&object, "object").unwrap();
        let output = directory.join("app");
        let response = directory.join("response");
        fs::write(&response, format!("{}\n-L\nwith\\ space\n", object.display())).unwrap();
        let call = format!("-flavor gnu @{} -o {}", response.display(), output.display());
        save(&strings(&call)).unwrap();
        fs::remove_file(&object).unwrap();

        let inputs = load(&output).unwrap();
        assert_eq!(&inputs.arguments[1..], ["-L", "with space"]);
        assert_eq!(fs::read(&inputs.arguments[0]).unwrap(), b"object");
        assert!(load(&response).unwrap_err().to_string().contains("this version"));
    }
}
