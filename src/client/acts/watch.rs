//! Waiting for things to change, for as long as it takes.

use std::time::Duration;

use tonic::Streaming;

use crate::client::error::ClientError;
use crate::client::session::Session;
use crate::client::silence::answered;
use crate::wire::v1::stream_service_client::StreamServiceClient;
use crate::wire::v1::{WatchRequest, WatchResponse};

/// Longest pause before a lost vault is tried again.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Shortest.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The vault's hints that something has grown. None of them is believed: they only end a wait.
pub struct Hints(Streaming<WatchResponse>);

impl Hints {
    /// Asks to be told. What changes from now on ends a wait.
    pub async fn begin(session: &Session) -> Result<Self, ClientError> {
        let mut service = StreamServiceClient::new(session.channel());
        let hints = answered(service.watch(WatchRequest {})).await?.into_inner();
        Ok(Self(hints))
    }

    /// Waits until something may have changed, or so long.
    pub async fn wait(&mut self, at_most: Duration) -> Result<(), ClientError> {
        match tokio::time::timeout(at_most, self.0.message()).await {
            Err(_elapsed) => Ok(()),
            Ok(Ok(Some(_hint))) => Ok(()),
            Ok(Ok(None)) => Err(tonic::Status::unavailable("the vault ended the watch").into()),
            Ok(Err(status)) => Err(status.into()),
        }
    }
}

/// How a vault that cannot be reached is tried again: later and later.
pub struct Patience {
    pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { pause: PAUSE_MIN }
    }
}

impl Patience {
    /// Waits, longer with every call.
    pub async fn pause(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}
