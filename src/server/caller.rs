//! Who calls: the subject of the connection's client certificate.

use std::time::SystemTime;

use tonic::{Code, Request, Status};

use crate::domain::time::Timestamp;
use crate::server::peer::{Peer, Subject};
use crate::server::status::status;
use crate::vault::Talker;

/// The caller, or the answer to whoever comes without a certificate.
pub(super) fn talker<T>(request: &Request<T>) -> Result<Talker, Status> {
    let peer = request.extensions().get::<Peer>();
    let certificate = peer.and_then(|peer| peer.certificate.as_ref());
    // A connection may outlive the certificate it began with.
    let now = Timestamp::from(SystemTime::now());
    let valid = certificate.filter(|certificate| certificate.expires_at > now);
    match valid.map(|certificate| certificate.subject.clone()) {
        Some(Subject::Operator) => Ok(Talker::Operator),
        Some(Subject::Member { id, path }) => Ok(Talker::Member { path, id }),
        None => {
            let message = "this call takes a client certificate".to_owned();
            let hint = "join with an invitation first: `escrow join`";
            Err(status(Code::Unauthenticated, "NO_CERTIFICATE", message, hint))
        }
    }
}
