//! A blkback that means harm.

use core::task::Poll;

use proptest::prelude::*;

use super::*;

/// What it does.
#[derive(Clone, Debug)]
enum Step {
    /// The guest asks for something: to read so many sectors, or to flush.
    Submit(usize),
    /// The guest takes what there is.
    Complete,
    /// It writes a word of the ring's page.
    Scribble { offset: usize, value: u32 },
    /// It answers.
    Answer { id: [u32; 2], status: i16 },
    /// It maps a page, and never lets go.
    Steal,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = prop_oneof![
        4 => (0..8u32).prop_map(|id| [id, 0]),
        1 => any::<[u32; 2]>(),
    ];
    let offset = prop_oneof![0..4usize, 0..1024usize].prop_map(|word| 4 * word);
    let value = prop_oneof![0..40u32, any::<u32>()];
    let step = prop_oneof![
        prop_oneof![0..89usize, 0..700usize].prop_map(Step::Submit),
        Just(Step::Complete),
        (offset, value).prop_map(|(offset, value)| Step::Scribble { offset, value }),
        (id, -3..2i16).prop_map(|(id, status)| Step::Answer { id, status }),
        Just(Step::Steal),
    ];
    prop::collection::vec(step, 1..60)
}

/// Takes what there is, which has an end. Returns how much that was.
fn complete(disk: &mut Disk<'_>) -> Vec<u64> {
    let mut ids = Vec::new();
    for _ in 0..1000 {
        if let Some(completion) = disk.device.complete() {
            ids.push(completion.id);
        } else if disk.waiter.poll(|cx| disk.device.poll_ready(cx)) != Poll::Ready(Ok(())) {
            return ids;
        }
    }
    panic!("it never comes to an end");
}

proptest! {
    #[test]
    fn nothing_that_blkback_writes_does_harm(
        persistent in 0..2u8,
        order in 0..3u8,
        indirect in 0..40u8,
        steps in steps(),
    ) {
        let guest = Guest::new();
        drop(guest.sharing.grants.reserve(1600).unwrap());
        let before = guest.resources();
        let (order, indirect) = (order.to_string(), indirect.to_string());
        let nodes = [
            ("max-ring-page-order", &*order),
            ("feature-max-indirect-segments", &*indirect),
            ("feature-persistent", &persistent.to_string()),
        ];
        let mut disk = connect(&guest, &nodes);
        let slots = 32_u32 << order.parse::<u32>().unwrap();
        let (mut stolen, mut done, mut next) = (Vec::new(), Vec::new(), 0);
        for step in steps {
            match step {
                Step::Submit(sectors) => {
                    let operation = match sectors {
                        0 => BlockOperation::Flush,
                        _ => BlockOperation::Read(zeroed(sectors)),
                    };
                    if disk.device.submit(BlockRequest { id: next, sector: 0, operation }).is_ok() {
                        next += 1;
                    }
                    disk.device.flush_queue();
                }
                Step::Complete => done.extend(complete(&mut disk)),
                Step::Scribble { offset, value } => {
                    disk.blkback.ring.page.write(offset, &value.to_le_bytes());
                }
                // Those that are used first are the highest.
                Step::Answer { id: [id @ 0..8, 0], status } => {
                    disk.blkback.respond([slots - 1 - id, 0], status);
                }
                Step::Answer { id, status } => disk.blkback.respond(id, status),
                Step::Steal => stolen.extend(disk.blkback.steal()),
            }
        }
        done.extend(complete(&mut disk));
        // Each at most once, and none that was not asked for.
        done.sort_unstable();
        let count = done.len();
        done.dedup();
        prop_assert_eq!(done.len(), count);
        prop_assert!(done.iter().all(|id| *id < next));
        let Disk { device, blkback, back, .. } = disk;
        drop(device);
        guest.settle();
        back.set_state(6);
        prop_assert_eq!(guest.resources().1, stolen.len() + (1 << order.parse::<u32>().unwrap()));
        drop((stolen, blkback));
        back.detach();
        guest.settle();
        prop_assert_eq!(guest.resources(), before);
    }
}

#[test]
fn a_buffer_that_the_back_end_keeps_is_not_given_back() {
    let guest = Guest::new();
    let mut disk = connect(&guest, &[]);
    disk.submit(1, 0, BlockOperation::Read(zeroed(16)));
    disk.device.flush_queue();
    let request = disk.blkback.take().unwrap();
    disk.blkback.respond([request.id, 0], OKAY);
    let completion = disk.device.complete().unwrap();
    assert_eq!(completion.result, Err(DeviceError::Protocol));
    assert!(completion.buffer.is_none());
    request.run(&mut pattern(0, 16));
    drop(request);
    assert_eq!(guest.resources().1, 0);
}

#[test]
fn answers_to_what_was_not_asked_end_the_disk() {
    for id in [[0, 0], [32, 0], [31, 1], [u32::MAX, u32::MAX]] {
        let guest = Guest::new();
        let mut disk = connect(&guest, &[]);
        disk.submit(1, 0, BlockOperation::Flush);
        disk.device.flush_queue();
        disk.blkback.respond(id, OKAY);
        assert!(disk.device.complete().is_none());
        let polled = disk.waiter.poll(|cx| disk.device.poll_ready(cx));
        assert_eq!(polled, Poll::Ready(Err(DeviceError::Protocol)));
        let request = BlockRequest { id: 2, sector: 0, operation: BlockOperation::Flush };
        assert!(disk.device.submit(request).is_err());
    }
}

/// The size of a sector and their number, as blkback says, and as they are then.
type Case<'a> = (&'a str, &'a str, Option<(usize, u64)>);

#[test]
fn what_blkback_says_of_the_disk_is_checked() {
    let max = u64::MAX.to_string();
    let cases: [Case<'_>; 15] = [
        ("512", "4096", Some((512, 4096))),
        ("4096", "4097", Some((4096, 512))),
        ("32768", "4096", Some((32768, 64))),
        // Eleven pages are too few for one.
        ("65536", "4096", None),
        ("2097152", "4096", None),
        ("4294967296", "4096", None),
        ("18446744073709551616", "4096", None),
        ("1099511627776", "4096", None),
        ("-512", "4096", None),
        ("256", "4096", None),
        ("0", "4096", None),
        ("513", "4096", None),
        ("512", &max, Some((512, u64::MAX))),
        ("4096", "18446744073709551616", None),
        ("512", "", None),
    ];
    for (size, sectors, expected) in cases {
        let guest = Guest::new();
        let back = back(&guest);
        back.attach(&[]);
        back.offer(&[("sector-size", size), ("sectors", sectors), ("info", "nonsense")]);
        let started = begin(&back);
        back.set_state(4);
        match (started.take().unwrap(), expected) {
            (Ok((mut device, _)), Some(expected)) => {
                let info = device.info();
                assert_eq!((info.sector_size, info.sectors), expected);
                let operation = BlockOperation::Discard(u32::MAX);
                let request = BlockRequest { id: 1, sector: info.sectors - 1, operation };
                assert!(device.submit(request).is_ok());
            }
            (Err(ConnectError::Unsuitable(_)), None) => {
                // It is told that nothing comes of it. What it was offered stays until somebody tries
                // again, and it has heard.
                assert_eq!(back.front_state().as_deref(), Some("6"));
                assert_ne!(guest.resources().2, 0);
                let _again = begin(&back);
                assert_ne!(guest.resources().2, 0);
                back.set_state(6);
                assert_eq!((guest.resources().1, guest.resources().2), (0, 0));
            }
            (started, _) => panic!("{size} {sectors}: {:?}", started.err()),
        }
    }
}
