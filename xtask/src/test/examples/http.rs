//! http: serves a small site to curl and wrk.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::{self, sleep};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::client::{self, curl, curl_text};
use super::{Check, check};
use crate::bench::Tally;
use crate::paths;
use crate::run::Protocol;
use crate::test::guest::TestGuest;
use crate::test::namespace::{INTERFACE, UNUSED_ADDRESS};

pub const CHECKS: &[Check] = &[
    check("serves-every-file", serves_every_file),
    check("knows-http", knows_http),
    check("keeps-connections", keeps_connections),
    check("tells-no-secrets", tells_no_secrets),
    check("rests", rests),
    Check { own_network: true, ..check("many-at-once", many_at_once) },
    Check { own_network: true, ..check("a-thousand-at-once", a_thousand_at_once) },
    Check { own_network: true, ..check("stands-still", stands_still) },
    Check { own_network: true, ..check("load", load) },
    Check { own_network: true, ..check("bursts", bursts) },
    Check { own_network: true, ..check("boots-amid-traffic", boots_amid_traffic) },
    Check { memory: "4M", ..check("in-4-mebibytes", serves_every_file) },
    Check { memory: "5M", own_network: true, ..check("short-of-memory", short_of_memory) },
];

/// The files that the image was made with.
fn site() -> PathBuf {
    paths::repository().join("examples/http/site")
}

/// Each file of the site arrives as it is.
fn serves_every_file(guest: &mut TestGuest) -> Result<()> {
    let url = client::http_url(guest)?;
    let site = site();
    let files = files_below(&site)?;
    ensure!(files.len() > 3, "the site has only {} files", files.len());
    for file in files {
        let name = file.strip_prefix(&site)?.to_str().context("a file's name is not UTF-8")?;
        let body =
            curl(guest, &["--fail", &format!("{url}/{}", name.trim_end_matches("index.html"))])?;
        client::same_as_file(&body, &file)?;
    }
    Ok(())
}

/// Methods, ranges and conditions do what RFC 9110 says.
fn knows_http(guest: &mut TestGuest) -> Result<()> {
    let url = client::http_url(guest)?;
    let style = format!("{url}/style.css");
    let length = site().join("style.css").metadata()?.len();

    let head = curl_text(guest, &["--head", &style])?.to_lowercase();
    ensure!(head.starts_with("http/1.1 200"), "HEAD is answered {head}");
    ensure!(
        head.contains(&format!("content-length: {length}\r\n")),
        "HEAD tells no length: {head}"
    );
    ensure!(head.contains("content-type: text/css"), "HEAD tells no type: {head}");

    let part = curl(guest, &["--fail", "--range", "10-19", &style])?;
    let whole = std::fs::read(site().join("style.css"))?;
    ensure!(part == whole[10..20], "bytes 10 to 19 are others");
    for (arguments, status) in [
        (&["--range", "99999999-"][..], "416"),
        (&["--request", "POST", "--data", "x=1"], "405"),
        (&["--header", "If-None-Match: *"], "304"),
    ] {
        let got = status_of(guest, arguments, &style)?;
        ensure!(got == status, "{} is answered {got} instead of {status}", arguments.join(" "));
    }
    let got = status_of(guest, &[], &format!("{url}/no-such-page"))?;
    ensure!(got == "404", "a page that is not there is answered {got}");
    Ok(())
}

/// The status code of an answer.
fn status_of(guest: &TestGuest, arguments: &[&str], url: &str) -> Result<String> {
    let fixed = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    curl_text(guest, &[&fixed, arguments, &[url]].concat())
}

/// Several requests go over one connection.
fn keeps_connections(guest: &mut TestGuest) -> Result<()> {
    let url = client::http_url(guest)?;
    let urls = format!("{url}/style.css?[1-20]");
    let fixed = ["--fail", "--output", "/dev/null", "--write-out", "%{num_connects} "];
    let connects = curl_text(guest, &[&fixed[..], &[&urls]].concat())?;
    let total: u32 = connects.split_whitespace().filter_map(|n| n.parse::<u32>().ok()).sum();
    ensure!(total == 1, "20 requests took {total} connections");
    Ok(())
}

/// No path leads out of the site.
fn tells_no_secrets(guest: &mut TestGuest) -> Result<()> {
    let url = client::http_url(guest)?;
    for path in ["/../Cargo.toml", "/images/../../Cargo.toml", "/%2e%2e/Cargo.toml", "//etc/passwd"]
    {
        let got = status_of(guest, &["--path-as-is"], &format!("{url}{path}"))?;
        ensure!(got == "404" || got == "400", "{path} is answered {got}");
    }
    Ok(())
}

/// A guest that nobody asks leaves the processors to others, having answered before.
fn rests(guest: &mut TestGuest) -> Result<()> {
    const WATCHED: Duration = Duration::from_secs(5);
    let url = client::http_url(guest)?;
    curl(guest, &["--fail", &url])?;
    sleep(Duration::from_secs(1));
    let used = |guest: &TestGuest| {
        Ok::<_, anyhow::Error>(guest.processors().context("/proc has no schedstat")?.used)
    };
    let before = used(guest)?;
    sleep(WATCHED);
    let taken = used(guest)?.saturating_sub(before);
    ensure!(taken < WATCHED / 50, "in {WATCHED:?} it used a processor for {taken:?}");
    Ok(())
}

/// A thousand connections, hundreds of them at once, are all served.
fn many_at_once(guest: &mut TestGuest) -> Result<()> {
    const REQUESTS: usize = 1000;
    let url = client::http_url(guest)?;
    let urls = format!("{url}/style.css?[1-{REQUESTS}]");
    let codes = curl_text(
        guest,
        &[
            "--parallel",
            "--parallel-immediate",
            "--parallel-max",
            "300",
            "--header",
            "Connection: close",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}\\n",
            &urls,
        ],
    )?;
    let served = codes.lines().filter(|code| *code == "200").count();
    ensure!(served == REQUESTS, "{served} of {REQUESTS} requests were served");
    Ok(())
}

/// A thousand connections are opened at once, many more than the listener's backlog of 128: the guest
/// finds all the requests waiting. They are all open at the same time; then each is served. None is
/// reset.
fn a_thousand_at_once(guest: &mut TestGuest) -> Result<()> {
    /// Long enough for the client to start, and not for it to ask again.
    const MOMENT: Duration = Duration::from_millis(700);
    let mut burst = burst(guest)?;
    let output = guest.while_stopped(MOMENT, || client::run(&mut burst, &[]))??;
    served_all(&output)
}

/// A thousand again, while the host has nothing to spare for the guest at bad moments, longer than a
/// handshake may take: among the requests of some are then the answers of others. None is reset.
fn stands_still(guest: &mut TestGuest) -> Result<()> {
    const STANDSTILL: Duration = Duration::from_millis(3500);
    for moment in [50, 100].map(Duration::from_millis) {
        let mut burst = burst(guest)?;
        let output = thread::scope(|scope| {
            let client = scope.spawn(|| client::run(&mut burst, &[]));
            sleep(moment);
            guest.while_stopped(STANDSTILL, || client.join())
        });
        let output = output?.map_err(|_| anyhow::anyhow!("the client has panicked"))??;
        served_all(&output).with_context(|| format!("stopped after {moment:?}"))?;
    }
    Ok(())
}

/// A client that opens a thousand connections at once.
fn burst(guest: &mut TestGuest) -> Result<Command> {
    client::http_url(guest)?;
    let (address, port) = guest.address(80, Protocol::Http)?;
    let mut burst = Command::new(std::env::current_exe()?);
    burst.args(["burst", &format!("{address}:{port}"), "1000", "/style.css"]);
    Ok(guest.client(burst.arg(site().join("style.css"))))
}

fn served_all(output: &Output) -> Result<()> {
    let output = String::from_utf8_lossy(&output.stdout);
    ensure!(output == "1000 served\n", "of 1000 connections, {output}");
    Ok(())
}

/// More clients than there is memory for, many of which are gone the next moment: the guest turns away
/// whom it cannot serve, loses no memory by it, and serves again once they are gone.
fn short_of_memory(guest: &mut TestGuest) -> Result<()> {
    const SECONDS: &str = "8";
    client::http_url(guest)?;
    let (address, port) = guest.address(80, Protocol::Http)?;
    for _ in 0..2 {
        let mut crowd = Command::new(std::env::current_exe()?);
        crowd.args(["crowd", &format!("{address}:{port}"), SECONDS]);
        let output = client::run(&mut guest.client(&crowd), &[])?;
        let count = String::from_utf8_lossy(&output.stdout);
        let mut numbers = count.split(|c: char| !c.is_ascii_digit()).flat_map(str::parse::<usize>);
        let (opened, unanswered) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        // Otherwise memory was not short.
        ensure!(opened >= 300 && unanswered >= 100, "of the connections, {count}");
        serves_every_file(guest).context("after the crowd")?;
    }
    Ok(())
}

/// What `bench soak` does for an hour, for a few seconds: 16 and 256 connections in turns, with pauses
/// or without, ask for file after file, and each answer comes, and is right. wrk would not see that
/// one never comes.
fn bursts(guest: &mut TestGuest) -> Result<()> {
    const SECONDS: &str = "3";
    const PATIENCE: &str = "30";
    client::http_url(guest)?;
    let (address, port) = guest.address(80, Protocol::Http)?;
    let mut burst = Command::new(std::env::current_exe()?);
    burst.args(["bench", "burst", &format!("{address}:{port}")]).arg(site());
    let output = client::run(&mut guest.client(burst.args([SECONDS, PATIENCE])), &[])?;
    let tally: Tally = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    // One burst of each kind at least.
    ensure!(tally.requests >= 8 * (16 + 256), "only {} requests were made", tally.requests);
    Ok(())
}

/// wrk, with few and many connections, sees no error.
fn load(guest: &mut TestGuest) -> Result<()> {
    let url = client::http_url(guest)?;
    for connections in ["1", "16", "256"] {
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", "1", "--duration", "2s", "--timeout", "10s"]);
        wrk.args(["--connections", connections]).arg(format!("{url}/style.css"));
        let output = client::run(&mut guest.client(&wrk), &[])?;
        judge_wrk(&String::from_utf8_lossy(&output.stdout))
            .with_context(|| format!("wrk with {connections} connections"))?;
    }
    // It must still be there, and answer rightly.
    let body = curl(guest, &["--fail", &format!("{url}/style.css")])?;
    client::same_as_file(&body, &site().join("style.css"))
}

/// Frames that wait for the guest before it has started its network device, and those that come
/// while it does, do not keep it from hearing of later ones.
fn boots_amid_traffic(guest: &mut TestGuest) -> Result<()> {
    // Broadcast frames, to an address that nobody has.
    let script = format!(
        "ip neigh replace {UNUSED_ADDRESS} lladdr ff:ff:ff:ff:ff:ff nud permanent dev {INTERFACE}
         for ((i = 0; i < 400; i++)); do echo > /dev/udp/{UNUSED_ADDRESS}/9; sleep 0.005; done"
    );
    let mut traffic = Command::new("bash");
    traffic.args(["-c", &script]);
    client::run(&mut guest.client(&traffic), &[])?;
    let url = format!("{}/style.css", client::http_url(guest)?);
    for _ in 0..5 {
        // Without interrupts, only timers would make it look for frames now and then.
        curl(guest, &["--fail", "--max-time", "3", &url])?;
    }
    Ok(())
}

/// Whether wrk has seen answers, and none that was an error.
fn judge_wrk(report: &str) -> Result<()> {
    for bad in ["Socket errors", "Non-2xx"] {
        if let Some(line) = report.lines().find(|line| line.contains(bad)) {
            anyhow::bail!("{}", line.trim());
        }
    }
    let requests: Option<u64> = report
        .lines()
        .find(|line| line.contains(" requests in "))
        .and_then(|line| line.split_whitespace().next()?.parse().ok());
    ensure!(requests.is_some_and(|requests| requests > 0), "no request was answered: {report}");
    Ok(())
}

/// All files below `directory`.
fn files_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_wrk_are_judged() {
        judge_wrk("Running 2s test\n  123 requests in 2.00s, 1MB read\n").unwrap();
        assert!(judge_wrk("  0 requests in 2.00s, 1MB read\n").is_err());
        let errors =
            "  9 requests in 2.00s\n  Socket errors: connect 0, read 1, write 0, timeout 0\n";
        assert!(judge_wrk(errors).unwrap_err().to_string().contains("read 1"));
        assert!(judge_wrk("  9 requests in 2.00s\n  Non-2xx or 3xx responses: 3\n").is_err());
    }
}
