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
        static PLACE: (SharedPage, &'static IrqLock<Output>) = {
            let page = SharedPage::new();
            let Some(port) = Port::new(2) else { panic!("no port") };
            let output = Output { is_stuck: true, ..Output::new(page, port) };
            (page, Box::leak(Box::new(IrqLock::new(output))))
        };
    }
    let (page, output) = PLACE.with(|place| *place);
    page.words().iter().for_each(|word| word.store(0, Ordering::Relaxed));
    let Some(port) = Port::new(2) else { panic!("no port") };
    output.with(|output| {
        *output = Output { is_stuck: true, ..Output::new(page, port) };
    });
    let mut driver = Driver {
        page,
        input: input(page),
        incarnation: Incarnation::current(),
        output,
        is_broken: false,
    };
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
