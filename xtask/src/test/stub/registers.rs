//! Registers by their names, those of the system among them. The stub describes them in XML (GDB's
//! manual, appendix G), which includes a document for each group of registers.
//!
//! On x86-64 the description has three registers that QEMU 7.2 does not count, so that all behind them
//! have wrong numbers. There, QEMU's monitor tells.

use anyhow::{Context, Result, bail, ensure};

use super::{PIECE, Stub, bytes, digits};

/// The document that names the others.
const TARGET: &str = "target.xml";

/// What the processor's registers are called, by their numbers.
pub struct Registers(Vec<Option<String>>);

impl Stub {
    /// The processor's registers. Only who has asked for these may read one.
    ///
    /// # Errors
    /// If QEMU does not describe them.
    pub fn registers(&mut self) -> Result<Registers> {
        let target = self.document(TARGET)?;
        let mut registers = Registers(Vec::new());
        registers.add(&target)?;
        for name in tags(&target, "<xi:include ").filter_map(|tag| attribute(tag, "href")) {
            let group = self.document(name)?;
            registers.add(&group).with_context(|| format!("in QEMU's {name}"))?;
        }
        Ok(registers)
    }

    /// The number in a register.
    ///
    /// # Errors
    /// If the processor has none of this name.
    pub fn named(&mut self, registers: &Registers, name: &str) -> Result<u64> {
        let number = registers.number(name).with_context(|| format!("there is no {name}"))?;
        let answer = self.ask(&format!("p{number:x}"))?;
        let mut value = bytes(&answer).with_context(|| format!("{name}: `{answer}`"))?;
        value.resize(8, 0);
        Ok(u64::from_le_bytes(value.try_into().unwrap_or_default()))
    }

    /// What QEMU's monitor answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn monitor(&mut self, command: &str) -> Result<String> {
        let mut text = Vec::new();
        let mut answer = self.ask(&format!("qRcmd,{}", digits(command.as_bytes())))?;
        while let Some(piece) = answer.strip_prefix('O').filter(|piece| *piece != "K") {
            text.extend(bytes(piece)?);
            answer = self.receive()?;
        }
        ensure!(answer == "OK", "QEMU's monitor does not know `{command}`: `{answer}`");
        Ok(String::from_utf8(text)?)
    }

    /// A document of the description.
    fn document(&mut self, name: &str) -> Result<String> {
        let mut text = String::new();
        loop {
            let offset = text.len();
            let question = format!("qXfer:features:read:{name}:{offset:x},{PIECE:x}");
            let answer = self.ask(&question)?;
            match answer.split_at_checked(1) {
                Some(("m", piece)) if !piece.is_empty() => text += &unescaped(piece),
                Some(("l", piece)) => return Ok(text + &unescaped(piece)),
                _ => bail!("QEMU's debugger has no {name}: `{answer}`"),
            }
        }
    }
}

impl Registers {
    /// Adds those of a document. A register without a number has the one after that of the register
    /// before it.
    fn add(&mut self, document: &str) -> Result<()> {
        for tag in tags(document, "<reg ") {
            let name = attribute(tag, "name").context("a register has no name")?;
            let number = match attribute(tag, "regnum") {
                Some(number) => number.parse()?,
                None => self.0.len(),
            };
            if self.0.len() <= number {
                self.0.resize(number + 1, None);
            }
            self.0[number] = Some(name.to_owned());
        }
        Ok(())
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|one| one.as_deref() == Some(name))
    }
}

/// The text that is sent so: what means something to the protocol is changed in a bit, behind a `}`.
fn unescaped(piece: &str) -> String {
    let mut text = String::with_capacity(piece.len());
    let mut rest = piece.chars();
    while let Some(one) = rest.next() {
        let changed = |other: char| char::from_u32(u32::from(other) ^ 0x20).unwrap_or(other);
        text.extend(if one == '}' { rest.next().map(changed) } else { Some(one) });
    }
    text
}

/// What is between `begin` and the end of a tag, for each tag that begins so.
fn tags<'d>(document: &'d str, begin: &str) -> impl Iterator<Item = &'d str> {
    document.split(begin).skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag)
}

/// The value of an attribute in a tag.
fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    let (_, value) = tag.split_once(&format!("{name}=\""))?;
    Some(value.split_once('"')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE: &str = r#"<?xml version="1.0"?><feature name="core">
        <reg name="r0" bitsize="32"/> <reg name="cpsr" bitsize="32" type="flags"/></feature>"#;
    const SYSTEM: &str = r#"<feature name="system"><reg name="TTBR0" bitsize="64" regnum="70"
        group="cp_regs"/><reg name="TTBCR" bitsize="32" regnum="72"/><reg name="VBAR" bitsize="32"/>"#;

    #[test]
    fn registers_have_the_number_that_is_given_or_the_next_one() {
        let mut registers = Registers(Vec::new());
        registers.add(CORE).unwrap();
        registers.add(SYSTEM).unwrap();
        let names = ["r0", "cpsr", "TTBR0", "TTBCR", "VBAR", "TTBR1"];
        let numbers = names.map(|name| registers.number(name));
        assert_eq!(numbers, [Some(0), Some(1), Some(70), Some(72), Some(73), None]);
    }

    #[test]
    fn a_register_without_a_name_is_an_error() {
        assert!(Registers(Vec::new()).add(r#"<reg bitsize="64"/>"#).is_err());
    }

    #[test]
    fn what_means_something_to_the_protocol_is_sent_in_disguise() {
        assert_eq!(unescaped("a}\u{3}b}\u{5d}}\u{a}"), "a#b}*");
    }

    #[test]
    fn included_documents_are_found() {
        let target = r#"<target><xi:include href="core.xml"/><xi:include href="fp.xml"/></target>"#;
        let names: Vec<_> =
            tags(target, "<xi:include ").filter_map(|tag| attribute(tag, "href")).collect();
        assert_eq!(names, ["core.xml", "fp.xml"]);
    }
}
