//! What can be done with nodes.

extern crate std;

use std::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use crate::store::{
    Access, Permissions, StoreError,
    fake::{Bench, DOMAIN, HOME},
};

#[test]
fn what_is_written_is_read_again() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.run(async {
        assert_eq!(store.read_text("name").await.unwrap(), "guest");
        assert_eq!(store.read_number::<u16>("domid").await, Ok(DOMAIN));
        assert_eq!(store.read_number::<u16>("name").await, Err(StoreError::Invalid));
        store.write("data/a/b", "hello").await.unwrap();
        assert_eq!(store.read(&format!("{HOME}/data/a/b")).await.unwrap(), b"hello");
        assert_eq!(store.read("data/a").await.unwrap(), b"");
        store.make_directory("data/a/b").await.unwrap();
        store.make_directory("data/a/c").await.unwrap();
        assert_eq!(store.read("data/a/b").await.unwrap(), b"hello");
        assert_eq!(store.directory("data/a").await.unwrap(), ["b", "c"]);
        assert_eq!(store.directory("data/a/b").await.unwrap(), Vec::<String>::new());
        store.remove("data/a").await.unwrap();
        assert_eq!(store.read("data/a/b").await, Err(StoreError::NotFound));
        store.remove("data/a").await.unwrap();
        assert_eq!(store.remove("data/a/b").await, Err(StoreError::NotFound));
        assert_eq!(store.domain_path(7).await.unwrap(), HOME);
    });
}

#[test]
fn what_is_not_allowed_is_refused() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.run(async {
        assert_eq!(store.write("/local/x", "").await, Err(StoreError::Denied));
        assert_eq!(store.remove("name").await, Err(StoreError::Denied));
        assert_eq!(store.read("data//x").await, Err(StoreError::Invalid));
        let served = bench.server.borrow().served;
        assert_eq!(store.read("data\0x").await, Err(StoreError::Invalid));
        assert_eq!(store.write("data/x", [0; 4096]).await, Err(StoreError::TooLarge));
        assert_eq!(store.read(&"x".repeat(3000)).await, Err(StoreError::TooLarge));
        assert_eq!(bench.server.borrow().served, served);
        bench.server.borrow_mut().tree.quota = 10;
        let mut written = 0;
        while store.write(&format!("data/{written}"), "").await.is_ok() {
            written += 1;
        }
        assert!((1..10).contains(&written));
        assert_eq!(store.write("data/x", "").await, Err(StoreError::Quota));
    });
}

#[test]
fn permissions_are_as_they_were_set() {
    let bench = Bench::new();
    let store = bench.store.clone();
    bench.run(async {
        store.write("data/a", "").await.unwrap();
        let none = Permissions { owner: DOMAIN, default: Access::None, others: vec![] };
        assert_eq!(store.permissions("data/a").await, Ok(none));
        let some =
            Permissions { owner: DOMAIN, default: Access::Read, others: vec![(9, Access::Both)] };
        store.set_permissions("data/a", &some).await.unwrap();
        assert_eq!(store.permissions("data/a").await, Ok(some));
    });
}

#[test]
fn the_longest_values_pass() {
    let bench = Bench::at(u32::MAX - 100, 77);
    let store = bench.store.clone();
    let long = vec![0xa5; 4096];
    bench.server.borrow_mut().tree.put(&[HOME, "/long"].concat(), &long, 0);
    bench.run(async {
        assert_eq!(store.read("long").await.unwrap(), long);
        let value = &long[..4096 - "data/x\0".len()];
        store.write("data/x", value).await.unwrap();
        assert_eq!(store.read("data/x").await.unwrap(), value);
    });
}

fn names() -> Vec<String> {
    (1000..1500).map(|number| format!("{number}-{}", "x".repeat(20))).collect()
}

#[test]
fn long_directories_are_read_in_parts() {
    let bench = Bench::new();
    let store = bench.store.clone();
    for name in names() {
        bench.server.borrow_mut().tree.put(&format!("{HOME}/data/{name}"), b"", DOMAIN);
    }
    bench.run(async {
        assert_eq!(store.directory("data").await.unwrap(), names());
        bench.server.borrow_mut().restless = 5;
        assert_eq!(store.directory("data").await.unwrap(), names());
        bench.server.borrow_mut().restless = 1000;
        assert_eq!(store.directory("data").await, Err(StoreError::Again));
        bench.server.borrow_mut().knows_parts = false;
        assert_eq!(store.directory("data").await, Err(StoreError::TooLarge));
    });
}

#[test]
fn a_directory_with_more_names_than_it_may_have_is_not_taken() {
    let bench = Bench::new();
    let store = bench.store.clone();
    // With its end, each name takes a kilobyte.
    let name = |number: usize| format!("{HOME}/data/{number:01023}");
    (0..64).for_each(|number| bench.server.borrow_mut().tree.put(&name(number), b"", DOMAIN));
    bench.run(async {
        assert_eq!(store.directory("data").await.unwrap().len(), 64);
        bench.server.borrow_mut().tree.put(&name(64), b"", DOMAIN);
        assert_eq!(store.directory("data").await, Err(StoreError::TooLarge));
        assert_eq!(store.read("data").await.unwrap(), b"");
    });
}

#[test]
fn several_nodes_are_read_and_written_in_one_turn() {
    let bench = Bench::new();
    let store = bench.store.clone();
    let pair = |name: &str, value: &str| (format!("data/{name}"), value.to_string());
    let nodes = [pair("a", "1"), pair("b", "2"), pair("c", "3")];
    let paths = ["data/c", "data/none", "/local/domain/0/x", "data//", "data/a"];
    let paths = paths.map(ToString::to_string);
    bench.put("/local/domain/0/x", "secret", 0);
    bench.permit("/local/domain/0", false);
    bench.run(async {
        store.write_each(&nodes).await.unwrap();
        let turns = bench.polls.get();
        let values = store.read_each(&paths).await.unwrap();
        assert_eq!(values, [Some("3".to_string()), None, None, None, Some("1".to_string())]);
        // One to send, one to receive, if the ring has room for all.
        assert!(bench.polls.get() - turns <= 2);
        store.write("data/bytes", [0xff]).await.unwrap();
        assert_eq!(store.read_each(&["data/bytes".to_string()]).await, Ok(vec![None]));
        assert_eq!(store.read_each(&[]).await, Ok(vec![]));
        let refused = [pair("d", "4"), ("name".to_string(), "x".to_string()), pair("e", "5")];
        assert_eq!(store.write_each(&refused).await, Err(StoreError::Denied));
        assert_eq!(store.read_text("data/d").await.unwrap(), "4");
    });
    assert_eq!(store.connection().pending(), 0);
}
