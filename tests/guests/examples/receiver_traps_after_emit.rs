//! Emits an event, sets a session parameter and a value of its own, and then traps: nothing of it may be left.

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
        // Without the grant this is refused, which is no reason not to trap.
        let _ = state::set("received", "true");
        panic!("the guest traps after it emitted")
    }
}
