//! The stages of a front end on its way.
//!
//! In each there are the methods that lead on from it, and no others, and they take it away. The
//! examples show what does not compile therefore. They are compiled from outside of the crate, which
//! is why the types are public; a driver is a [`Connector`](super::Connector), and sees none of them.

/// It has begun, and the back end has not said what it can do yet: that is waited for.
///
/// ```
/// # use mayfly_xen::bus::*;
/// # async fn example(frontend: Frontend<Initialising>) -> Result<(), BusError> {
/// let frontend: Frontend<Negotiating> = frontend.negotiate().await?;
/// # Ok(())
/// # }
/// ```
///
/// No rings are published before the back end is ready for them, and none are there to be lost:
///
/// ```compile_fail,E0599
/// # use mayfly_xen::bus::*;
/// # async fn example(frontend: Frontend<Initialising>) -> Result<(), BusError> {
/// frontend.connect(Offer::default()).await?;
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail,E0599
/// # use mayfly_xen::bus::*;
/// # async fn example(frontend: Frontend<Initialising>) -> Result<(), BusError> {
/// frontend.lost().await;
/// # Ok(())
/// # }
/// ```
pub struct Initialising;

/// The back end waits for the front end's rings: these are published.
///
/// ```
/// # use mayfly_xen::bus::*;
/// # async fn example(frontend: Frontend<Negotiating>) -> Result<(), BusError> {
/// let frontend: Frontend<Connected> = frontend.connect(Offer::default()).await?;
/// # Ok(())
/// # }
/// ```
///
/// Once, and whoever negotiates anew begins anew:
///
/// ```compile_fail,E0382
/// # use mayfly_xen::bus::*;
/// # async fn example(frontend: Frontend<Negotiating>) -> Result<(), BusError> {
/// frontend.connect(Offer::default()).await?;
/// frontend.connect(Offer::default()).await?;
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail,E0599
/// # use mayfly_xen::bus::*;
/// # async fn example(frontend: Frontend<Negotiating>) -> Result<(), BusError> {
/// frontend.negotiate().await?;
/// # Ok(())
/// # }
/// ```
pub struct Negotiating;

/// The back end knows the rings: they are used until it is lost.
///
/// ```
/// # use mayfly_xen::bus::*;
/// # async fn example(frontend: Frontend<Connected>) -> Result<(), BusError> {
/// let reason: BusError = frontend.lost().await;
/// # Ok(())
/// # }
/// ```
///
/// Nothing is published any more, and no connection is used after it was lost:
///
/// ```compile_fail,E0599
/// # use mayfly_xen::bus::*;
/// # async fn example(frontend: Frontend<Connected>) -> Result<(), BusError> {
/// frontend.connect(Offer::default()).await?;
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail,E0382
/// # use mayfly_xen::bus::*;
/// # async fn example(frontend: Frontend<Connected>) -> Result<(), BusError> {
/// frontend.lost().await;
/// frontend.lost().await;
/// # Ok(())
/// # }
/// ```
///
/// It does not begin anew behind the back end's back, but ends first:
///
/// ```
/// # use mayfly_xen::bus::*;
/// # async fn example(frontend: Frontend<Connected>) -> Result<(), BusError> {
/// let link = frontend.link().clone();
/// let frontend: Frontend<Ended> = Frontend::end(link).await?;
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail,E0599
/// # use mayfly_xen::bus::*;
/// # async fn example(frontend: Frontend<Connected>) -> Result<(), BusError> {
/// frontend.begin_again().await?;
/// # Ok(())
/// # }
/// ```
///
/// No device is connected that has not come all the way:
///
/// ```
/// # use mayfly_xen::{bus::*, store::Store};
/// # async fn example(store: Store) -> Result<(), BusError> {
/// let frontend = Frontend::<Initialising>::begin(&store, "device/vif/0").await?;
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail,E0599
/// # use mayfly_xen::{bus::*, store::Store};
/// # async fn example(store: Store) -> Result<(), BusError> {
/// let frontend = Frontend::<Connected>::begin(&store, "device/vif/0").await?;
/// # Ok(())
/// # }
/// ```
pub struct Connected;

/// It does not use its rings any more, and has said so: when the back end has heard that, it may begin
/// again.
///
/// ```
/// # use mayfly_xen::bus::*;
/// # async fn example(frontend: Frontend<Ended>) -> Result<(), BusError> {
/// let frontend: Frontend<Initialising> = frontend.begin_again().await?;
/// # Ok(())
/// # }
/// ```
///
/// There is nothing else to be done with a device that is closed:
///
/// ```compile_fail,E0599
/// # use mayfly_xen::bus::*;
/// # async fn example(frontend: Frontend<Ended>) -> Result<(), BusError> {
/// frontend.negotiate().await?;
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail,E0599
/// # use mayfly_xen::bus::*;
/// # async fn example(frontend: Frontend<Ended>) -> Result<(), BusError> {
/// frontend.connect(Offer::default()).await?;
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail,E0599
/// # use mayfly_xen::bus::*;
/// # async fn example(frontend: Frontend<Ended>) -> Result<(), BusError> {
/// frontend.lost().await;
/// # Ok(())
/// # }
/// ```
pub struct Ended;
