//! Why a document is not taken.

use crate::{model::problem::Problem, store::StoreError};

/// Why a write was refused.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The document is wrong.
    #[error("the document is not valid")]
    Invalid(Vec<Problem>),
    /// There is one of that name already.
    #[error("there is a {0} of that name already")]
    Exists(&'static str),
    /// There is none of that name.
    #[error("there is no {0} of that name")]
    Missing(&'static str),
    /// Something refers to it.
    #[error("it is referred to by {}", .0.join(", "))]
    Referred(Vec<String>),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}
