//! Another end that writes what bytes say.

extern crate std;

use std::{boxed::Box, vec};

use core::{
    sync::atomic::Ordering,
    task::{Context, Poll, Waker},
};

use mayfly_device::ConsoleDevice;

use super::*;
use crate::fuzz::Script;

/// Plays xenconsoled: what is on the page.
pub fn console(bytes: &[u8]) {
    std::thread_local! {
        static PLACE: (SharedPage, &'static IrqLock<Output>, &'static Signal) = {
            let page = SharedPage::new();
            let Some(port) = Port::new(2) else { panic!("no port") };
            let output = Output { ring: output(page), port, is_stuck: true };
            (page, Box::leak(Box::new(IrqLock::new(output))), Box::leak(Box::new(Signal::new())))
        };
    }
    let (page, output, signal) = PLACE.with(|place| *place);
    page.words().iter().for_each(|word| word.store(0, Ordering::Relaxed));
    let Some(port) = Port::new(2) else { panic!("no port") };
    output.with(|output| *output = Output { ring: super::output(page), port, is_stuck: true });
    let mut driver = Driver { input: input(page), output, port, signal, is_broken: false };
    let mut cx = Context::from_waker(Waker::noop());
    let mut script = Script(bytes);
    while script.has_more() {
        match script.byte() % 5 {
            0 => page
                .word(0xc00 + usize::from(script.byte() % 4) * 4)
                .store(script.index(), Ordering::SeqCst),
            1 => page.words()[usize::from(script.short() % 1024)]
                .store(script.word(), Ordering::SeqCst),
            2 => {
                let mut buffer = vec![0; script.byte().into()];
                assert!(driver.read(&mut buffer) <= buffer.len());
            }
            3 => {
                let text = script.byte();
                let text: vec::Vec<u8> = script.bytes(text.into()).into();
                assert!(driver.write(&text) <= text.len());
            }
            _ => {
                // Who is ready gets on.
                if driver.poll_writable(&mut cx).is_ready() {
                    assert!(
                        driver.write(b"\n") == 1
                            || driver.poll_writable(&mut cx).is_pending()
                            || driver.is_broken
                    );
                }
                if driver.poll_readable(&mut cx) == Poll::Ready(()) {
                    assert!(driver.read(&mut [0]) == 1);
                }
            }
        }
    }
}
