//! Emits an event, sets a session parameter, writes its state, and then traps. None of these effects may remain.

use hookwright_guest::events::{Emission, emit};
use hookwright_guest::{Error, Invocation, Receive, Reply, session, state};

struct TrapsAfterEmit;
hookwright_guest::export!(TrapsAfterEmit: receive);

impl Receive for TrapsAfterEmit {
    fn receive(call: Invocation) -> Result<Reply, Error> {
        emit(Emission::new("guest.received", &"never seen")?)?;
        if let Some(session) = &call.session {
            session::set(session, "received", &true)?;
        }
        // Without the grant this fails, but the guest must trap all the same.
        let _ = state::set("received", "true");
        panic!("the guest traps after it emitted")
    }
}
