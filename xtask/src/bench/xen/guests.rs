//! The lab, with what the guests are booted from.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::app::App;
use crate::arch::Arch;
use crate::build::{self, How};
use crate::lab::{Domain, Hardware, Lab, LinuxGuest, Session, Xen};
use crate::test::busiest_thread;
use crate::tools::quote;
use crate::xl_cfg::Config;
use crate::{linux, paths, setup, ui};

/// Memory of Mayfly's guests, in MiB. Linux has more.
const MEMORY: u64 = 32;

/// How long a guest may take to answer a ping.
const PATIENCE: Duration = Duration::from_secs(60);

/// The address of Mayfly's guests.
pub const MAYFLY_ADDRESS: &str = "10.99.0.2";

/// A lab that has all the files.
pub struct Guests {
    /// dom0.
    pub session: Session,
    /// Architecture of the guests.
    pub arch: Arch,
    linux: LinuxGuest,
}

impl Guests {
    /// Builds and fetches what is missing, and boots.
    ///
    /// # Errors
    /// If something cannot be built or fetched, or dom0 does not boot.
    pub fn prepare(arch: Arch) -> Result<Self> {
        let xen = Xen::of(arch);
        setup::programs(&[xen.arch().qemu()])?;
        let meter = linux::program("meter", "meter", xen.arch())?;
        let linux = LinuxGuest::prepare(arch)?;
        let lab = Lab::prepare(xen)?;
        ui::progress("Comparing", format_args!("with {}", linux.name()));
        ui::progress("Booting", format_args!("Xen and dom0 on {}", xen.arch()));
        let mut session = Session::start(&lab, &Hardware::default_of(xen))?;
        let content =
            fs::read(&meter).with_context(|| format!("cannot read {}", meter.display()))?;
        session.send("meter", &content)?;
        session.succeed("chmod +x meter")?;
        linux.send(&mut session)?;
        Ok(Self { session, arch, linux })
    }

    /// Puts an image of Mayfly into dom0: an example, or an app in a directory of the checkout.
    ///
    /// # Errors
    /// If it cannot be built or does not start with so many MiB, or dom0 does not answer.
    pub fn mayfly(
        &mut self,
        app: &str,
        binary: Option<&str>,
        memory: Option<u64>,
    ) -> Result<Config> {
        let path = paths::repository().join(app);
        let app = if path.is_dir() { path.to_string_lossy() } else { app.into() };
        let app = App::find(&app, binary)?;
        let image = build::build(&app, self.arch, &How { release: true, ..How::default() })?;
        let arguments = [format!("ip={MAYFLY_ADDRESS}/24")];
        let memory = memory.unwrap_or(MEMORY);
        let config = Config::for_lab(&app, &image, Some(memory), &arguments)?;
        let content = fs::read(&image.path)
            .with_context(|| format!("cannot read {}", image.path.display()))?;
        self.session.send(&quote(&config.kernel), &content)?;
        // As Linux has it.
        Ok(Config { network: true, native_tsc: true, ..config })
    }

    /// The Linux guest.
    pub fn linux(&self, disks: Vec<String>) -> Config {
        self.linux.config(disks)
    }

    /// Tells dom0 who has an address, which it would otherwise have to ask for, and puts the
    /// configuration of the guest into it.
    ///
    /// # Errors
    /// If dom0 does not answer.
    pub fn announce(&mut self, config: &Config, address: &str) -> Result<()> {
        let mac = config.mac.context("the guest has no hardware address")?;
        self.session.succeed(&format!("arp -i xenbr0 -s {address} {mac}"))?;
        let file = format!("{}.cfg", quote(&config.name));
        self.session.send(&file, config.text().as_bytes())
    }

    /// Starts a guest, and waits until it answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn start(&mut self, config: &Config, address: &str) -> Result<Domain> {
        self.announce(config, address)?;
        let mut domain = Domain::create(&mut self.session, config, false)?;
        let start = Instant::now();
        let ping = format!("ping -c 1 -W 1 {address}");
        let mut console = Vec::new();
        while self.session.run(&ping)?.status != 0 {
            let ending =
                domain.follow(&mut self.session, &mut |part| console.extend_from_slice(part))?;
            let console = String::from_utf8_lossy(&console);
            ensure!(ending.is_none(), "{} has ended: {ending:?}\n{console}", config.name);
            ensure!(
                start.elapsed() < PATIENCE,
                "{} does not answer in {} s:\n{console}",
                config.name,
                PATIENCE.as_secs()
            );
        }
        Ok(domain)
    }

    /// Has the program in dom0 measure. Gives the numbers that it prints, and the part of the time
    /// in which QEMU had a processor or did not want one.
    ///
    /// # Errors
    /// If it fails.
    pub fn measure(&mut self, arguments: &str) -> Result<(Vec<f64>, f64)> {
        let (start, waited) = (Instant::now(), self.waited()?);
        let printed = self.session.succeed(&format!("./meter {arguments}"));
        let now = self.waited();
        let took = start.elapsed().as_secs_f64();
        let waited = now.map(|now| now.saturating_sub(waited).as_secs_f64());
        let printed = printed.with_context(|| match &waited {
            Ok(waited) => format!("QEMU waited for a processor for {waited:.0} s of {took:.0} s"),
            Err(_) => "QEMU has ended".to_owned(),
        })?;
        let share = 1.0 - waited? / took;
        // Before that, xl may have said what it does.
        let figures = printed.lines().last().unwrap_or_default();
        let number =
            |word: &str| word.parse::<f64>().with_context(|| format!("`{word}` is no number"));
        Ok((figures.split_whitespace().map(number).collect::<Result<_>>()?, share.max(0.01)))
    }

    /// How long a guest has had the processor so far, as Xen counts it.
    ///
    /// # Errors
    /// If there is no such guest.
    pub fn busy(&mut self, guest: &Config) -> Result<Duration> {
        let printed = self.session.succeed(&format!("./meter busy {}", quote(&guest.name)))?;
        let nanoseconds = printed.trim().parse().context("the meter prints no number")?;
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// As [`measure`](Self::measure), of one rate: what it would be if QEMU never had to wait.
    ///
    /// # Errors
    /// If it fails.
    pub fn rate(&mut self, arguments: &str) -> Result<f64> {
        let (figures, share) = self.measure(arguments)?;
        Ok(figures.first().context("nothing was measured")? / share)
    }

    /// How long QEMU's processor has waited for one of this machine's so far.
    fn waited(&self) -> Result<Duration> {
        let times = busiest_thread(self.session.process()).context("/proc has no schedstat")?;
        Ok(times.waited)
    }
}
