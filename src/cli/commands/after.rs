//! What is shown after an act. One that was acknowledged is never reported as failed.

use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::client::error::ClientError;
use crate::client::session::Session;

/// What a look came to that followed on an acknowledged act. A vault that cannot be asked any more
/// is no failure of the act: then the acknowledged events are believed as they came, and `known`
/// says how things stand by them. A vault that shows what cannot be true is another matter.
pub(super) fn settled<T>(
    output: &Output,
    session: &mut Session,
    looked: Result<T, ClientError>,
    known: impl FnOnce(&Session) -> Result<T, ClientError>,
) -> Result<T, Failure> {
    match looked {
        Ok(seen) => Ok(seen),
        Err(untrue @ ClientError::Untrue(_)) => Err(untrue.into()),
        Err(fault) => {
            output.warn(format!(
                "this is done and acknowledged, but the vault could not be asked how things \
                 stand since: {fault}"
            ));
            session.believe_acknowledged()?;
            Ok(known(session)?)
        }
    }
}
