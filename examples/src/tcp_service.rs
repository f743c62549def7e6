//! A TCP service: it sends back in capitals what comes, one work item per connection.
//!
//! The stack calls [`Acceptor::accept`] in BH context; the item queued there runs in a worker and may
//! sleep in `recv`. A silent client costs a sleeping worker, no core. Dropping the [`Conn`] closes.

use alloc::sync::Arc;

use kernel::net::{Acceptor, Conn, ListenError, Listener, Session, listen};
use kernel::thread::ThreadCx;
use kernel::wq::{self, Run, Work};

const PORT: u16 = 7;

/// The service; it keeps nothing.
struct Shout;

/// A connection whose item waits by itself, so news of it need no answer.
struct Client;

impl Session for Client {
    fn ready(&self) {}
}

impl Acceptor for Shout {
    fn accept(&self, conn: Conn) -> Option<Arc<dyn Session>> {
        let item = kernel::mem::try_arc(<Work<Conn>>::new(conn, serve)).ok()?;
        let session: Arc<dyn Session> = kernel::mem::try_arc(Client).ok()?;
        wq::unbound().queue(&item).is_pending().then_some(session)
    }
}

fn serve(cx: &ThreadCx<'_>, run: &Run<'_, Conn>) {
    let mut buffer = [0; 256];
    while let Ok(n @ 1..) = run.recv(cx, &mut buffer, None) {
        buffer[..n].make_ascii_uppercase();
        if run.send_all(cx, &buffer[..n], None).is_err() {
            break;
        }
    }
}

/// Serves new clients until the listener is dropped; those that are there stay until they leave.
pub fn start() -> Result<Listener, ListenError> {
    listen(PORT, Arc::new(Shout))
}

/// Opens the port and closes it; a machine without a network says so.
pub fn main(_: &ThreadCx<'_>) {
    assert!(matches!(start(), Ok(_) | Err(ListenError::NoInterface)));
}
