//! Other stores of small secrets, started here and driven as the vault is: one caller a connection, one
//! call after the other.

pub(crate) mod etcd;
pub(crate) mod openbao;
