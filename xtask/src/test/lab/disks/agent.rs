//! The guest whose disks are tested, as dom0 sees it: `tests/guests/src/bin/disk_agent.rs`.

use anyhow::{Context, Result, ensure};

use crate::lab::{Session, console_log};

/// How long the guest may take for something, in tenths of a second: less than dom0 may.
const PATIENCE: u32 = 300;

/// The guest, as dom0 sees it.
pub struct Agent<'a> {
    pub session: &'a mut Session,
    pub name: String,
    pub id: String,
    /// Its first disk.
    pub file: String,
    /// The disks whose back ends go and come back.
    pub devices: Vec<u32>,
    /// Commands so far.
    pub count: u32,
}

impl Agent<'_> {
    /// Tells it to do something.
    pub fn tell(&mut self, command: &str) -> Result<()> {
        self.count += 1;
        let (id, count) = (&self.id, self.count);
        let wait = until(&format!("xenstore-read /local/domain/{id}/data/answer"), "[0-9]*");
        self.session.succeed(&format!(
            "{wait} && xenstore-write /local/domain/{id}/data/command '{count} {command}'"
        ))?;
        Ok(())
    }

    /// What it has answered.
    pub fn answer(&mut self) -> Result<String> {
        let (id, count) = (&self.id, self.count);
        let read = format!("xenstore-read /local/domain/{id}/data/answer");
        let text =
            self.session.succeed(&format!("{} && {read}", until(&read, &format!("{count} *"))))?;
        Ok(text.trim().split_once(' ').map_or_else(String::new, |(_, answer)| answer.to_owned()))
    }

    pub fn ask(&mut self, command: &str) -> Result<String> {
        self.tell(command)?;
        self.answer().with_context(|| format!("it does not answer to `{command}`"))
    }

    /// Has the back ends of its disks go and come back, with something between, and waits until both
    /// sides are connected. The guest sees nothing of it if it is paused meanwhile.
    pub fn rebind(&mut self, between: &str, is_paused: bool) -> Result<()> {
        let (id, name) = (&self.id, &self.name);
        let each = |command: &dyn Fn(u32) -> String| {
            self.devices.iter().map(|&device| command(device)).collect::<Vec<_>>().join(" && ")
        };
        let drivers = "/sys/bus/xen-backend/drivers/vbd";
        let unbind = each(&|device| format!("echo vbd-{id}-{device} >{drivers}/unbind"));
        let bind = each(&|device| format!("echo vbd-{id}-{device} >{drivers}/bind"));
        let back = |device| format!("xenstore-read backend/vbd/{id}/{device}/state");
        let front = |device| format!("xenstore-read /local/domain/{id}/device/vbd/{device}/state");
        let rebind = if is_paused {
            let taken = each(&|device| until(&back(device), "4"));
            format!("xl pause {name} && {unbind} && {bind} && {taken} && xl unpause {name}")
        } else {
            format!("{unbind} && {{ {between} {bind}; }}")
        };
        let connected =
            each(&|device| until(&format!("{}; {}", front(device), back(device)), "*4?4"));
        self.session.succeed(&format!("{rebind} && sleep 0.5 && {connected} && sleep 0.5"))?;
        Ok(())
    }

    /// How often it has said of each of its disks that it has connected again.
    pub fn reconnects(&mut self) -> Result<usize> {
        let log = console_log(&self.name);
        let mut least = usize::MAX;
        for device in &self.devices {
            let search = format!("grep -c 'vbd/{device}.*its back end is back' {log}");
            let text = self.session.run(&search)?.text();
            let count = text.trim().parse();
            least = least.min(count.with_context(|| format!("{log} cannot be searched: {text}"))?);
        }
        Ok(least)
    }

    /// What blkback has counted of a disk.
    pub fn counted(&mut self, device: u32, what: &str) -> Result<u64> {
        let statistics =
            format!("/sys/bus/xen-backend/devices/vbd-{}-{device}/statistics", self.id);
        Ok(self.session.succeed(&format!("cat {statistics}/{what}"))?.trim().parse()?)
    }

    /// How many flushes and barriers have come to blkback.
    pub fn flushes(&mut self, device: u32) -> Result<u64> {
        self.counted(device, "f_req")
    }

    /// SHA-256 of a file.
    pub fn sum(&mut self, file: &str) -> Result<String> {
        let text = self.session.succeed(&format!("sha256sum <{file}"))?;
        Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
    }

    /// Both sides see the same on a disk.
    pub fn same(&mut self, disk: usize, file: &str) -> Result<()> {
        let (sum, hash) = (self.sum(file)?, self.ask(&format!("hash {disk}"))?);
        ensure!(sum == hash, "dom0 has {sum} on disk {disk}, the guest reads {hash}");
        Ok(())
    }

    /// Has the guest write to a disk, and looks at the file.
    pub fn filled(&mut self, disk: usize, seed: u32, file: &str) -> Result<()> {
        let hash = self.ask(&format!("fill {disk} {seed}"))?;
        let sum = self.sum(file)?;
        ensure!(sum == hash, "the guest has written {hash} to disk {disk}, dom0 has {sum}");
        Ok(())
    }
}

/// A command for dom0's shell: waits until another one prints what matches a pattern of the shell.
pub fn until(command: &str, pattern: &str) -> String {
    format!(
        "{{ i=0; until case \"$({command} 2>/dev/null)\" in {pattern}) true;; *) false;; esac; do \
         i=$((i+1)); [ $i -lt {PATIENCE} ] || {{ {command}; exit 1; }}; sleep 0.1; done; }}",
        pattern = pattern.replace(' ', "\\ ")
    )
}
