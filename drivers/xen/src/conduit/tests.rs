//! Names, against what others write there.

extern crate std;

use std::string::String;

use super::*;
use crate::{fake::Guest, store::fake::DOMAIN};

/// A guest whose dom0 has made the directory. In the fake, whoever owns a node may make others in it.
fn guest() -> Guest {
    let guest = Guest::new();
    guest.face_itself();
    guest.bench.put("/conduit", "", DOMAIN);
    guest
}

async fn register(store: Store, sharing: Sharing, name: &str) -> Result<Conduit, ConduitError> {
    Conduit::register(&store, sharing, name).await
}

#[test]
fn a_name_is_registered_as_long_as_it_is_held() {
    let guest = guest();
    let (store, sharing) = (guest.bench.store.clone(), guest.sharing);
    let registered = guest.spawn(register(store.clone(), sharing, "me"));
    guest.settle();
    let conduit = registered.take().unwrap().unwrap();
    assert_eq!(guest.bench.value("/conduit/me"), Some(String::from("7")));
    guest.bench.put("/conduit/dom0", "0", 0);
    guest.bench.put("/conduit/odd", "seven", 0);
    let resolved = guest.spawn(async move {
        assert_eq!(conduit.resolve("me.xen").await, Ok(DomainId(7)));
        assert_eq!(conduit.resolve("dom0").await, Ok(DomainId(0)));
        for name in ["nobody", "odd"] {
            assert_eq!(conduit.resolve(name).await, Err(ConduitError::Unknown));
        }
        for name in ["", ".xen", "a/b", "me.net"] {
            let error = ConduitError::Vchan(VchanError::Name);
            assert_eq!(conduit.resolve(name).await, Err(error));
        }
    });
    guest.settle();
    resolved.take().unwrap();
    guest.settle();
    assert_eq!(guest.bench.value("/conduit/me"), None);
}

#[test]
fn a_name_is_registered_again_in_another_domain() {
    let guest = guest();
    let (store, sharing) = (guest.bench.store.clone(), guest.sharing);
    let registered = guest.spawn(register(store, sharing, "me"));
    guest.settle();
    let conduit = registered.take().unwrap().unwrap();
    let listening = guest.spawn(async move {
        let next = conduit.listen().await.unwrap().next().await;
        next.map(|request| (String::from(request.client()), String::from(request.port())))
    });
    guest.settle();
    // XenStore removes what belonged to the old domain.
    guest.bench.take_away("/conduit/me");
    guest.move_on();
    guest.settle();
    assert_eq!(guest.bench.value("/conduit/me"), Some(String::from("7")));
    guest.bench.put("/conduit/you", "3", DOMAIN);
    guest.bench.put("/conduit/me/you", "", DOMAIN);
    guest.bench.put("/conduit/me/you/www", "www", DOMAIN);
    guest.settle();
    assert_eq!(listening.take().unwrap().unwrap(), ("you".into(), "www".into()));
}

#[test]
fn without_the_directory_the_error_says_what_to_do() {
    let guest = Guest::new();
    let registered = guest.spawn(register(guest.bench.store.clone(), guest.sharing, "me"));
    guest.settle();
    let error = registered.take().unwrap().unwrap_err();
    assert_eq!(error, ConduitError::NotThere);
    assert!(std::format!("{error}").contains("xenstore-chmod /conduit b0"));
}

#[test]
fn who_is_called_by_name_is_connected() {
    let guest = guest();
    let (store, sharing) = (guest.bench.store.clone(), guest.sharing);
    let server = store.clone();
    let served = guest.spawn(async move {
        let conduit = register(server, sharing, "server").await?;
        let mut requests = conduit.listen().await?;
        let request = requests.next().await?;
        assert_eq!((request.client(), request.port()), ("client", "http"));
        assert_eq!(request.domain(), DomainId(DOMAIN));
        let (mut vchan, _) = request.accept(RingSizes::default()).await?;
        let mut buffer = [0; 9];
        let count = vchan.read(&mut buffer).await?;
        assert_eq!(&buffer[..count], b"GET");
        Ok::<_, ConduitError>(())
    });
    guest.settle();
    // Others that make no sense do not stand in the way.
    guest.bench.put("/conduit/server/empty", "", DOMAIN);
    guest.bench.put("/conduit/server/ghost", "", DOMAIN);
    guest.bench.put("/conduit/server/ghost/http", "http", DOMAIN);
    guest.bench.put("/conduit/server/mine", "", 0);
    guest.bench.put("/conduit/server/mine/http", "http", 0);
    guest.settle();
    assert_eq!(guest.bench.value("/conduit/server/ghost"), None);
    let called = guest.spawn(async move {
        let conduit = register(store, sharing, "client").await?;
        let (mut vchan, _) = conduit.connect("server.xen", "http").await?;
        vchan.write_all(b"GET").await?;
        vchan.flush().await?;
        Ok::<_, ConduitError>(())
    });
    guest.settle();
    assert_eq!((served.take(), called.take()), (Some(Ok(())), Some(Ok(()))));
    assert_eq!(guest.bench.value("/conduit/server"), None);
    assert_eq!(guest.bench.in_use(), (0, 0));
}
