//! What statements name by digest: sealed shares and contributions.

use bytes::Bytes as Buffer;

use crate::crypto::share::SEALED_SHARE_BYTES_MAX;
use crate::crypto::{header, proofs, signature};
use crate::domain::id::Digest;
use crate::domain::refusal::Refusal;
use crate::domain::statement::{Stated, Statement};
use crate::domain::states::States;
use crate::store::Blob;
use crate::vault::error::VaultError;

/// What statements name by digest and the vault is to keep.
pub(super) struct Attachments {
    offered: Vec<(Digest, Buffer)>,
    kept: Vec<Blob>,
}

impl Attachments {
    pub(super) fn new(offered: Vec<Buffer>) -> Result<Self, VaultError> {
        if offered.iter().any(|bytes| bytes.len() > SEALED_SHARE_BYTES_MAX) {
            return Err(VaultError::Malformed("an attachment is too large"));
        }
        let offered = offered.into_iter().map(|bytes| (signature::sha256(&bytes), bytes));
        Ok(Self { offered: offered.collect(), kept: Vec::new() })
    }

    /// Takes what this statement names.
    pub(super) fn take(&mut self, states: &States, stated: &Stated) -> Result<(), VaultError> {
        if let Statement::ReleaseKey(s) = &stated.statement {
            s.shares.iter().try_for_each(|share| self.take_share(&share.sha256))?;
        }
        if let Statement::Reseal(s) = &stated.statement {
            self.take_share(&s.share.sha256)?;
        }
        if let Statement::Contribution(s) = &stated.statement {
            let bytes = self.take_named(&s.contribution_sha256)?;
            let unknown = || Refusal::NotFound(s.request.id.to_string());
            let request = states.request(&s.request.id).ok_or_else(unknown)?;
            let holder = &s.made.by.organisation;
            proofs::check_contribution(states, request, holder, &bytes)
                .map_err(VaultError::Unproven)?;
        }
        Ok(())
    }

    /// The vault cannot open a share; that it is sealed at all, it can see.
    fn take_share(&mut self, digest: &Digest) -> Result<(), VaultError> {
        let bytes = self.take_named(digest)?;
        match header::Header::parse(&bytes) {
            Ok(Some(_)) => Ok(()),
            Ok(None) | Err(_) => Err(VaultError::Malformed("a sealed share is no age file")),
        }
    }

    fn take_named(&mut self, digest: &Digest) -> Result<Buffer, VaultError> {
        let found = self.offered.iter().position(|(offered, _)| offered == digest);
        let missing = VaultError::Malformed("an attachment that a statement names is missing");
        let (_, bytes) = self.offered.swap_remove(found.ok_or(missing)?);
        self.kept.push(Blob { name: name(digest), bytes: bytes.to_vec() });
        Ok(bytes)
    }

    /// What is to be kept. What nothing named is not: a statement accepted before needs its
    /// attachments no more.
    pub(super) fn kept(self) -> Vec<Blob> {
        self.kept
    }
}

/// Under which name the store keeps an attachment.
pub(super) fn name(digest: &Digest) -> String {
    format!("attachment/{digest}")
}
