//! How a call of a plugin can end badly.

use super::limits::Limit;
use crate::model::outcome::{Failure, FailureKind};

/// How a call of a plugin can end badly; each breach is its own word in the API, and says which limit it breached.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PluginFailure {
    /// The guest said this input will never work.
    #[error("the plugin rejected the input: {0}")]
    Rejected(String),
    /// The guest said it may work later.
    #[error("the plugin asks to try later: {0}")]
    RetryLater(String),
    /// A script threw what is neither `Rejected` nor `RetryLater`: a mistake of its author's, in what nobody has thought of.
    #[error("the plugin threw: {0}")]
    Threw(String),
    /// The guest trapped: a panic, an unreachable instruction, a stack overflow.
    #[error("the plugin trapped: {0}")]
    Trapped(String),
    /// It breached a limit, whose value is given.
    #[error("the plugin {} (limit `{}`)", .0.breach(*.1), .0.name())]
    Limit(Limit, u64),
    /// It ran longer than the receiver it answers for waits, in milliseconds.
    #[error("the plugin ran longer than {0} ms (the receiver's `timeout_ms`)")]
    TimedOut(u64),
    /// It returned something that is not what the contract says, such as text that is not JSON.
    #[error("the plugin returned something unusable: {0}")]
    BadOutput(String),
    /// It asked for what it has no grant for: the grant, and what of it.
    #[error("the plugin has no grant for `{0}`; `PUT /v1/plugins/{{name}}/grants` gives it")]
    NotGranted(String),
    /// It has the grant, and the secret is not there.
    #[error("there is no secret `{0}`, for which the plugin has the grant")]
    SecretMissing(String),
    /// Too many calls were waiting for a free instance of the host.
    #[error("all plugin instances are busy and {0} calls wait already (limit `plugin_queue_max`)")]
    Busy(usize),
    /// It kept failing and is left alone for a while.
    #[error("the plugin kept failing and is set aside for {seconds} s more; last: {last}")]
    SetAside {
        /// Until the next probe.
        seconds: u64,
        /// What it failed with last.
        last: String,
    },
    /// It waited for its turn when the host stopped.
    #[error("the host stops")]
    Stopping,
    /// No version is active, or the version asked for does not exist.
    #[error("plugin `{0}` has no active version that exports what is needed")]
    Missing(String),
}

impl PluginFailure {
    /// The word for it in attempts, calls and metrics.
    pub fn kind(&self) -> &'static str {
        FailureKind::from(self).as_str()
    }

    /// Whether trying again may help. Only what the plugin says of its input is final: its own mistakes are mended by another version,
    /// a limit or a grant by an admin.
    pub fn is_passing(&self) -> bool {
        !matches!(self, Self::Rejected(_))
    }

    /// Whether a call that ends like this waits for another run and this one is not counted: it did not get to run, or no run can end
    /// otherwise before an admin has acted.
    pub fn counts_no_run(&self) -> bool {
        matches!(self, Self::SetAside { .. } | Self::Stopping | Self::NotGranted(_) | Self::SecretMissing(_))
    }

    /// Whether fewer events could have kept it within the limit.
    pub fn is_of_size(&self) -> bool {
        use Limit::{CpuMs, Handles, HostCalls, MemoryBytes, OutputBytes, TableElements};
        matches!(self, Self::Limit(CpuMs | Handles | HostCalls | MemoryBytes | OutputBytes | TableElements, _))
    }

    /// What it says of the plugin itself.
    pub fn says(&self) -> Says {
        match self {
            // The plugin works: it has looked at the input and said something about it.
            Self::Rejected(_) | Self::RetryLater(_) => Says::Well,
            Self::Threw(_) | Self::Trapped(_) | Self::BadOutput(_) => Says::Ill,
            Self::Limit(Limit::Queue | Limit::Concurrency, _) => Says::Nothing,
            Self::Limit(..) | Self::TimedOut(_) => Says::Ill,
            Self::NotGranted(_) | Self::SecretMissing(_) | Self::Busy(_) | Self::SetAside { .. } | Self::Missing(_) | Self::Stopping => {
                Says::Nothing
            }
        }
    }
}

/// What the end of a call says of the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// It works.
    Well,
    /// It made a mistake: it threw, trapped, breached a limit, or returned what nobody can use.
    Ill,
    /// It did not get to run, or an admin has to act.
    Nothing,
}

impl From<&PluginFailure> for FailureKind {
    fn from(failure: &PluginFailure) -> Self {
        match failure {
            PluginFailure::Rejected(_) => Self::PluginRejected,
            PluginFailure::RetryLater(_) => Self::PluginRetryLater,
            PluginFailure::Threw(_) => Self::PluginThrew,
            PluginFailure::Trapped(_) => Self::PluginTrapped,
            PluginFailure::Limit(limit, _) => limit.failure(),
            PluginFailure::TimedOut(_) => Self::PluginDeadline,
            PluginFailure::BadOutput(_) => Self::PluginBadOutput,
            PluginFailure::NotGranted(_) => Self::PluginNotGranted,
            PluginFailure::SecretMissing(_) => Self::SecretMissing,
            PluginFailure::Busy(_) => Self::PluginBusy,
            PluginFailure::SetAside { .. } => Self::PluginSetAside,
            PluginFailure::Missing(_) => Self::PluginMissing,
            PluginFailure::Stopping => Self::Interrupted,
        }
    }
}

impl From<&PluginFailure> for Failure {
    fn from(failure: &PluginFailure) -> Self {
        Self::new(failure.into(), failure.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_says_its_limit_and_what_the_plugin_does_to_itself_is_told_apart() {
        let breach = PluginFailure::Limit(Limit::MemoryBytes, 65_536);
        assert_eq!(breach.to_string(), "the plugin asked for more than 65536 bytes of memory (limit `memory_bytes`)");
        assert_eq!((breach.kind(), breach.says()), ("plugin_memory", Says::Ill));
        assert_eq!(PluginFailure::Rejected("no".into()).says(), Says::Well);
        assert_eq!(PluginFailure::Limit(Limit::Queue, 1).says(), Says::Nothing);
    }

    #[test]
    fn a_mistake_of_the_authors_is_tried_again_and_a_missing_grant_or_secret_is_nobodys() {
        let threw = PluginFailure::Threw("line 1, column 2: TypeError: x".into());
        assert_eq!((threw.kind(), threw.says(), threw.is_passing()), ("plugin_threw", Says::Ill, true));
        for (failure, kind) in [
            (PluginFailure::NotGranted("secrets: a".into()), "plugin_not_granted"),
            (PluginFailure::SecretMissing("a".into()), "secret_missing"),
        ] {
            assert_eq!((failure.kind(), failure.says(), failure.is_passing()), (kind, Says::Nothing, true));
        }
        assert!(!PluginFailure::Rejected("no".into()).is_passing());
    }
}
