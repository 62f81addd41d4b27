//! What xl is told about a guest (xl.cfg(5)).

use std::fmt::Write;

use crate::arch::Arch;
use crate::tools;

/// A guest, as xl knows it.
#[derive(Clone, Debug)]
pub struct Config {
    /// What xl calls it.
    pub name: String,
    /// What it runs on.
    pub arch: Arch,
    /// The image: a path in dom0.
    pub kernel: String,
    /// The first file system of a guest that is a Linux: a path in dom0.
    pub ramdisk: Option<String>,
    /// Whether a guest of x86-64 reads the processor's time stamp counter itself. Xen emulates the
    /// instruction where it does not trust the counter, as on QEMU, but not RDTSCP.
    pub native_tsc: bool,
    /// Memory, in MiB.
    pub memory: u64,
    /// The least memory with which the image starts, in MiB.
    pub least_memory: u64,
    /// Boot arguments.
    pub arguments: Vec<String>,
    /// Whether it is to have a network interface.
    pub network: bool,
    /// The hardware address of the interface; xl chooses one if not given.
    pub mac: Option<&'static str>,
    /// Its disks: files in dom0.
    pub disks: Vec<String>,
    /// Whether it stays for others to look at it, however it ends.
    pub preserve: bool,
    /// More lines of the file, each with its end.
    pub more: String,
}

impl Config {
    /// The file.
    pub fn text(&self) -> String {
        let mut text = format!(
            "# A Mayfly guest for {}. xl.cfg(5) explains each line.\nname = {}\n",
            self.arch,
            quoted(&self.name)
        );
        if self.arch == Arch::X86_64 {
            text += "type = \"pvh\"\n";
        } else {
            text += "# Xen 4.17 has no `xl mem-set` on ARM without this line.\nacpi = 0\n";
        }
        if self.native_tsc && self.arch == Arch::X86_64 {
            text += "tsc_mode = \"native\"\n";
        }
        if let Some(ramdisk) = &self.ramdisk {
            writeln!(text, "ramdisk = {}", quoted(ramdisk)).ok();
        }
        let words: Vec<String> = self.arguments.iter().map(|word| tools::quote(word)).collect();
        // Writing to a string cannot fail.
        write!(
            text,
            "# The image: a path in dom0. Without a leading `/`, a reboot does not find it.\n\
             kernel = {}\n\
             # Boot arguments.\n\
             extra = {}\n\
             # In MiB. This image starts with {} or more; what the app allocates comes on top.\n\
             memory = {}\n\
             # It uses one.\n\
             vcpus = 1\n",
            quoted(&self.kernel),
            quoted(&words.join(" ")),
            self.least_memory,
            self.memory,
        )
        .ok();
        text += if self.network {
            ""
        } else {
            "# A network interface, which the app has no use for:\n#"
        };
        let mac = self.mac.map(|mac| format!(",mac={mac}")).unwrap_or_default();
        writeln!(text, "vif = [\"bridge=xenbr0{mac}\"]").ok();
        text += &disks(&self.disks);
        text += match self.preserve {
            true => {
                "on_poweroff = \"preserve\"\non_reboot = \"preserve\"\non_crash = \"preserve\"\n"
            }
            false => {
                "on_poweroff = \"destroy\"\n\
                 on_reboot = \"restart\"\n\
                 # It stays, for a look at its console; `xl destroy` removes it.\n\
                 on_crash = \"preserve\"\n"
            }
        };
        text + &self.more
    }
}

/// The line about disks, if there are any (xl-disk-configuration(5); the target is the rest of it).
fn disks(files: &[String]) -> String {
    let disk = |(letter, file): (char, &String)| {
        quoted(&format!("format=raw,vdev=xvd{letter},access=rw,target={file}"))
    };
    let disks: Vec<String> = ('a'..='z').zip(files).map(disk).collect();
    if disks.is_empty() { String::new() } else { format!("disk = [{}]\n", disks.join(", ")) }
}

/// A string of xl's: in quotation marks, with backslashes before what would end it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted += "\\n",
            '\t' => quoted += "\\t",
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Config {
        Config {
            name: "hello".into(),
            arch: Arch::X86_64,
            kernel: "hello".into(),
            ramdisk: None,
            native_tsc: false,
            memory: 2,
            least_memory: 2,
            arguments: Vec::new(),
            network: false,
            mac: None,
            disks: Vec::new(),
            preserve: false,
            more: String::new(),
        }
    }

    #[test]
    fn a_configuration_for_x86_64() {
        let expected = r#"# A Mayfly guest for x86_64. xl.cfg(5) explains each line.
name = "hello"
type = "pvh"
# The image: a path in dom0. Without a leading `/`, a reboot does not find it.
kernel = "hello"
# Boot arguments.
extra = ""
# In MiB. This image starts with 2 or more; what the app allocates comes on top.
memory = 2
# It uses one.
vcpus = 1
# A network interface, which the app has no use for:
#vif = ["bridge=xenbr0"]
on_poweroff = "destroy"
on_reboot = "restart"
# It stays, for a look at its console; `xl destroy` removes it.
on_crash = "preserve"
"#;
        assert_eq!(example().text(), expected);
    }

    #[test]
    fn a_configuration_for_arm_with_all_there_is() {
        let config = Config {
            name: "http".into(),
            arch: Arch::Armv7,
            kernel: "/srv/http".into(),
            ramdisk: None,
            native_tsc: true,
            memory: 16,
            least_memory: 3,
            arguments: vec!["port=80".into(), r#"greeting=say "hi""#.into()],
            network: true,
            mac: Some("00:16:3e:00:00:01"),
            disks: vec!["/srv/a".into(), "/srv/b".into()],
            preserve: true,
            more: "nomigrate = 1\n".into(),
        };
        let expected = r#"# A Mayfly guest for armv7. xl.cfg(5) explains each line.
name = "http"
# Xen 4.17 has no `xl mem-set` on ARM without this line.
acpi = 0
# The image: a path in dom0. Without a leading `/`, a reboot does not find it.
kernel = "/srv/http"
# Boot arguments.
extra = "port=80 'greeting=say \"hi\"'"
# In MiB. This image starts with 3 or more; what the app allocates comes on top.
memory = 16
# It uses one.
vcpus = 1
vif = ["bridge=xenbr0,mac=00:16:3e:00:00:01"]
disk = ["format=raw,vdev=xvda,access=rw,target=/srv/a", "format=raw,vdev=xvdb,access=rw,target=/srv/b"]
on_poweroff = "preserve"
on_reboot = "preserve"
on_crash = "preserve"
nomigrate = 1
"#;
        assert_eq!(config.text(), expected);
    }

    #[test]
    fn a_linux_guest_has_a_ramdisk_and_the_counter_of_the_processor() {
        let linux = Config { ramdisk: Some("/r".into()), native_tsc: true, ..example() };
        let text = linux.text();
        assert!(
            text.contains("\nramdisk = \"/r\"\n") && text.contains("\ntsc_mode = \"native\"\n")
        );
        let arm = Config { arch: Arch::Aarch64, ..linux };
        assert!(!arm.text().contains("tsc_mode"));
    }

    #[test]
    fn strings_are_quoted_as_xl_reads_them() {
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(quoted("it's\none"), "\"it's\\none\"");
    }
}
