//! The command lines of QEMU with which Xen boots.

use std::path::Path;
use std::process::Command;

use super::{DOM0, HYPERVISOR, Hardware, KERNEL, Lab, Xen};
use crate::tools;

/// QEMU with Xen, dom0's kernel and its file system, and no other devices than a network card and
/// disks. If it does not boot, it is to go on from a [`Snapshot`](super::snapshot::Snapshot).
pub fn command(lab: &Lab, hardware: &Hardware, boots: bool) -> Command {
    let mut qemu = bare(lab);
    match lab.xen {
        Xen::X86_64 => x86_64(&mut qemu, hardware, boots),
        Xen::Aarch64 => aarch64(&mut qemu, hardware),
        Xen::Armv7 => armv7(&mut qemu, hardware),
    }
    if let Some((backend, device)) = hardware.network.qemu_arguments(transport(lab.xen)) {
        qemu.args(["-netdev", &backend, "-device", &device]);
    }
    for (number, file) in hardware.disks.iter().enumerate() {
        // A comma ends a value on QEMU's command line, two are one comma.
        let file = file.to_string_lossy().replace(',', ",,");
        let device = format!("virtio-blk-{},drive=disk{number}", transport(lab.xen));
        qemu.args(["-drive", &format!("if=none,id=disk{number},format=raw,file={file}")]);
        // Which of them is which, Linux knows by this alone.
        qemu.args(["-device", &format!("{device},serial=lab-disk{number}")]);
    }
    qemu.args(&hardware.extra);
    tools::dying_with_us(qemu)
}

/// QEMU with neither a machine nor something to run.
pub fn bare(lab: &Lab) -> Command {
    let mut qemu = Command::new(lab.xen.arch().qemu());
    // From there, the names of the files have no spaces or commas, which would end them.
    qemu.current_dir(lab.directory());
    qemu.args(["-accel", "tcg", "-display", "none", "-nic", "none", "-no-reboot"]);
    // Nobody uses the second processor, but with one, QEMU 7.2 leaves out barriers, although devices
    // run beside it: Linux's virtio drivers need them, and otherwise miss an interrupt now and then.
    qemu.args(["-smp", "2"]);
    qemu
}

/// The machine with ARM's virtualisation, and so much memory, in MiB.
pub fn of_arm(qemu: &mut Command, gic: u8, memory: u64) {
    qemu.args(["-machine", &format!("virt,virtualization=on,gic-version={gic}")]);
    qemu.args(["-cpu", "cortex-a57", "-m", &memory.to_string()]);
}

/// How devices of virtio are attached, as the last part of QEMU's names for them.
fn transport(xen: Xen) -> &'static str {
    match xen {
        Xen::X86_64 => "pci",
        Xen::Aarch64 | Xen::Armv7 => "device",
    }
}

/// Arguments that give the machine serial ports by these names; the other end of each is a socket.
pub fn ports(xen: Xen, ports: &[(&str, &Path)]) -> Vec<String> {
    let bus = format!("virtio-serial-{}", transport(xen));
    let mut arguments = vec!["-device".to_owned(), bus];
    for (name, socket) in ports {
        arguments.push("-chardev".into());
        let path = socket.display().to_string().replace(',', ",,");
        arguments.push(format!("socket,id={name},path={path},server=on,wait=off"));
        arguments.push("-device".into());
        arguments.push(format!("virtserialport,chardev={name},name={name}"));
    }
    arguments
}

/// Xen is a multiboot kernel here; dom0's kernel and file system are its modules.
fn x86_64(qemu: &mut Command, hardware: &Hardware, boots: bool) {
    // With SMAP, Xen ends a dom0 that is paravirtualised.
    qemu.args(["-machine", "pc", "-cpu", "max,-smap", "-m", "704"]);
    if !boots {
        // What is in memory comes with the rest.
        return;
    }
    qemu.args(["-kernel", HYPERVISOR]);
    // Left to itself, Xen has a processor keep the registers of SSE until somebody else uses them,
    // and expects #NM. QEMU's XSAVE raises none: dom0 would save a guest's registers for its own.
    qemu.args([
        "-append",
        "com1=115200,8n1 console=com1 maxcpus=1 dom0_mem=384M,max:384M dom0_max_vcpus=1 bootscrub=0 \
         loglvl=warning guest_loglvl=all spec-ctrl=eager-fpu",
    ]);
    let linux = format!("{} mitigations=off nokaslr tsc=reliable", linux_arguments(hardware));
    qemu.args(["-initrd", &format!("{KERNEL} {linux},{DOM0}")]);
}

/// What every dom0's kernel is told, and what `init.sh` reads from there. Its console shows warnings,
/// too, and its log has room for what all tests cause.
fn linux_arguments(hardware: &Hardware) -> String {
    let store = hardware.store.program();
    format!("console=hvc0 quiet loglevel=5 log_buf_len=1M lab.store={store}")
}

/// The device `guest-loader` puts files into memory and tells of them in the device tree.
fn aarch64(qemu: &mut Command, hardware: &Hardware) {
    of_arm(qemu, hardware.gic, 1024);
    load_on_arm(qemu, hardware, 512, 0x4900_0000, 0x5000_0000);
}

/// Peripherals have to be where 32 bits reach, and the processor has a GICv2 of its own.
fn armv7(qemu: &mut Command, hardware: &Hardware) {
    qemu.args(["-machine", "virt,virtualization=on,gic-version=2,highmem=off"]);
    qemu.args(["-cpu", "cortex-a15", "-m", "1024"]);
    load_on_arm(qemu, hardware, 384, 0x4400_0000, 0x4700_0000);
}

/// Xen, dom0 with so many MiB, and where its kernel and its file system are put. Without
/// `xsm=dummy`, guests of Debian's Xen for ARM have nothing to do with each other.
fn load_on_arm(
    qemu: &mut Command,
    hardware: &Hardware,
    memory: u64,
    kernel: u64,
    file_system: u64,
) {
    qemu.args(["-kernel", HYPERVISOR]);
    let options = format!(
        "console=dtuart dtuart=/pl011@9000000 maxcpus=1 dom0_mem={memory}M dom0_max_vcpus=1 \
         bootscrub=0 guest_loglvl=all xsm=dummy"
    );
    qemu.args(["-append", &options]);
    let linux = linux_arguments(hardware);
    for loaded in [
        format!("addr={kernel:#x},kernel={KERNEL},bootargs={linux}"),
        format!("addr={file_system:#x},initrd={DOM0}"),
    ] {
        qemu.args(["-device", &format!("guest-loader,{loaded}")]);
    }
}
