//! Who calls: the subject of the connection's client certificate.

use tonic::{Code, Request, Status};

use crate::server::accept::Peer;
use crate::server::peer::Subject;
use crate::server::status::status;
use crate::vault::Talker;

/// The caller, or the answer to whoever comes without a certificate.
#[expect(clippy::result_large_err, reason = "a handler's own type")]
pub(super) fn talker<T>(request: &Request<T>) -> Result<Talker, Status> {
    let peer = request.extensions().get::<Peer>();
    match peer.and_then(|peer| peer.subject.clone()) {
        Some(Subject::Operator) => Ok(Talker::Operator),
        Some(Subject::Member { id, path }) => Ok(Talker::Member { path, id }),
        None => {
            let message = "this call takes a client certificate".to_owned();
            let hint = "join with an invitation first: `escrow join`";
            Err(status(Code::Unauthenticated, "NO_CERTIFICATE", message, hint))
        }
    }
}
