//! `/v1/backup` and `/v1/compact`: operations on the whole store, begun by a POST and shown by a GET. A restore needs a host that is
//! stopped: `hookwright restore`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    request::Asked,
    respond::{Answer, ApiError, ProblemDetails, accepted, ok},
};
use crate::{
    services::Services,
    store::{Compacted, Manifest, OperationStatus, StoreError, below},
};

/// A backup leaves the storage key out; a restore needs it.
const KEY_NOTE: &str = "the storage key is not in the backup: keep a copy of it elsewhere, without it the backup cannot be read";

/// The error if the operator has configured no directory.
const NOWHERE: &str =
    "the host has no directory for backups: set `backup_dir` (HOOKWRIGHT_BACKUP_DIR), or run `hookwright backup --to DIR` on its machine";

/// Where a backup goes: exactly one of the two fields.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupInput {
    /// A directory that does not exist or is empty: a name below the host's setting `backup_dir`, or a path inside it.
    #[schema(example = "2026-01-31", min_length = 1, max_length = 512)]
    pub directory: Option<String>,
    /// The name of a file in the host's data directory that holds the path of the backup. With it, `hookwright backup` can put a backup
    /// anywhere on the host's machine.
    #[schema(example = "5f0e7c1c9a3b4d2e8f60718293a4b5c6", min_length = 32, max_length = 32)]
    pub note: Option<String>,
}

/// The state of an operation.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    /// None was begun since the host started.
    None,
    /// The operation is running.
    Running,
    /// The operation succeeded.
    Done,
    /// The operation failed.
    Failed,
}

/// What all operations have in common.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperationView {
    /// The operation's state.
    pub state: OperationState,
    /// When the operation began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<Timestamp>,
    /// When the operation ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Records copied so far.
    pub records: u64,
    /// Bytes of the keys and values of these records.
    pub bytes: u64,
    /// Why the operation failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The last backup since the host started.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackupView {
    #[serde(flatten)]
    pub operation: OperationView,
    /// The moment whose state the backup holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_at: Option<Timestamp>,
    /// The number of the last event or invocation in the backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Number of plugin files in the backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugins: Option<usize>,
    /// What the backup leaves out.
    pub note: &'static str,
}

/// The last compaction that was requested since the host started.
#[derive(Debug, Serialize, ToSchema)]
pub struct CompactView {
    #[serde(flatten)]
    pub operation: OperationView,
    /// Size of the store's file before the compaction, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_bytes: Option<u64>,
    /// Size of the store's file after the compaction, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_bytes: Option<u64>,
    /// Bytes of the keys and values in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_bytes: Option<u64>,
}

/// Begin a backup: all records of the store at one moment, and the plugins' files. The host keeps working.
#[utoipa::path(post, path = "/v1/backup", tag = "maintenance", request_body = BackupInput,
    responses((status = 202, description = "begun", body = BackupView),
        (status = 409, body = ProblemDetails, description = "a backup is in progress", content_type = "application/problem+json"),
        (status = 422, body = ProblemDetails, description = "the directory cannot be created", content_type = "application/problem+json")))]
pub async fn post_backup(services: Services, asked: Asked) -> Answer {
    asked.only(&[])?;
    let input: BackupInput = asked.json()?;
    let (store, base) = (services.store.clone(), services.backup_dir.clone());
    let begun = tokio::task::spawn_blocking(move || {
        let directory = match (input.directory, input.note) {
            (Some(name), None) => {
                let base = base.ok_or_else(|| ApiError::invalid("/directory", NOWHERE))?;
                below(&base, &name).map_err(misplaced)?
            }
            (None, Some(note)) => {
                store.take_note(&note)?.ok_or_else(|| ApiError::invalid("/note", "there is no such note in this host's data directory"))?
            }
            _ => {
                return Err(ApiError::invalid(
                    "/directory",
                    "where the backup goes: a name below the host's `backup_dir`, such as `2026-01-31`",
                ));
            }
        };
        store.begin_backup(&directory).map_err(misplaced)
    })
    .await;
    let backup = begun.map_err(|error| ApiError::Internal(Box::new(error)))??;
    tokio::spawn(async move {
        match backup.run().await {
            Ok(manifest) => tracing::info!(seq = manifest.seq, plugins = manifest.plugins.len(), "a backup was taken; {KEY_NOTE}"),
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "a backup failed"),
        }
    });
    accepted(&backup_view(&services))
}

/// Get the state of the last backup.
#[utoipa::path(get, path = "/v1/backup", tag = "maintenance", responses((status = 200, description = "the last backup since the host started", body = BackupView)))]
pub async fn get_backup(services: Services, asked: Asked) -> Answer {
    asked.only(&[])?;
    ok(&backup_view(&services))
}

/// Begin a compaction: the store gives back disk space that it no longer needs. The host also does that by itself.
#[utoipa::path(post, path = "/v1/compact", tag = "maintenance",
    responses((status = 202, description = "begun", body = CompactView),
        (status = 409, body = ProblemDetails, description = "a compaction is in progress", content_type = "application/problem+json")))]
pub async fn post_compact(services: Services, asked: Asked) -> Answer {
    asked.only(&[])?;
    // Nobody waits for the compaction. The log says how it ended.
    drop(services.store.begin_compaction()?);
    accepted(&compact_view(&services))
}

/// Get the state of the last compaction.
#[utoipa::path(get, path = "/v1/compact", tag = "maintenance", responses((status = 200, description = "the last compaction since the host started", body = CompactView)))]
pub async fn get_compact(services: Services, asked: Asked) -> Answer {
    asked.only(&[])?;
    ok(&compact_view(&services))
}

/// An error about the directory becomes an error of the field that names it.
fn misplaced(error: StoreError) -> ApiError {
    match error {
        StoreError::NotEmpty { .. } | StoreError::Misplaced { .. } => ApiError::invalid("/directory", error.to_string()),
        error => error.into(),
    }
}

fn backup_view(services: &Services) -> BackupView {
    let (operation, manifest): (_, Option<Manifest>) = viewed(services.store.backup_status());
    BackupView {
        operation,
        taken_at: manifest.as_ref().map(|manifest| manifest.taken_at),
        seq: manifest.as_ref().map(|manifest| manifest.seq),
        plugins: manifest.as_ref().map(|manifest| manifest.plugins.len()),
        note: KEY_NOTE,
    }
}

fn compact_view(services: &Services) -> CompactView {
    let (operation, compacted): (_, Option<Compacted>) = viewed(services.store.compaction_status());
    CompactView {
        operation,
        before_bytes: compacted.map(|compacted| compacted.before_bytes),
        after_bytes: compacted.map(|compacted| compacted.after_bytes),
        live_bytes: compacted.map(|compacted| compacted.live_bytes),
    }
}

fn viewed<T>(status: Option<OperationStatus<T>>) -> (OperationView, Option<T>) {
    let Some(OperationStatus { begun_at, ended_at, records, bytes, outcome }) = status else {
        let none = OperationView { state: OperationState::None, begun_at: None, ended_at: None, records: 0, bytes: 0, detail: None };
        return (none, None);
    };
    let (state, detail, result) = match outcome {
        None => (OperationState::Running, None, None),
        Some(Ok(result)) => (OperationState::Done, None, Some(result)),
        Some(Err(error)) => (OperationState::Failed, Some(error.with_causes()), None),
    };
    (OperationView { state, begun_at: Some(begun_at), ended_at, records, bytes, detail }, result)
}
