//! How a call of a plugin can end badly.

use super::limits::Limit;
use crate::model::outcome::FailureKind;

/// How a call of a plugin can end badly; each breach is its own word in the API, and says which limit it breached.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PluginFailure {
    /// The guest said this input will never work.
    #[error("the plugin rejected the input: {0}")]
    Rejected(String),
    /// The guest said it may work later.
    #[error("the plugin asks to try later: {0}")]
    RetryLater(String),
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
    /// It used an interface it has no grant for in a way that cannot be answered.
    #[error("the plugin has no grant for `{0}`")]
    NotGranted(String),
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

    /// Whether trying again may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::RetryLater(_) | Self::Busy(_) | Self::Missing(_) | Self::SetAside { .. } | Self::TimedOut(_) | Self::Stopping => true,
            Self::Limit(limit, _) => matches!(
                limit,
                Limit::CpuMs
                    | Limit::WallMs
                    | Limit::InvokeMs
                    | Limit::Queue
                    | Limit::StateKeys
                    | Limit::StateBytes
                    | Limit::DirectoryBytes
                    | Limit::DirectoryFiles
            ),
            Self::Rejected(_) | Self::Trapped(_) | Self::BadOutput(_) | Self::NotGranted(_) => false,
        }
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
            Self::Trapped(_) | Self::BadOutput(_) => Says::Ill,
            Self::Limit(Limit::Queue | Limit::Concurrency, _) => Says::Nothing,
            Self::Limit(..) | Self::TimedOut(_) => Says::Ill,
            Self::NotGranted(_) | Self::Busy(_) | Self::SetAside { .. } | Self::Missing(_) | Self::Stopping => Says::Nothing,
        }
    }
}

/// What the end of a call says of the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// It works.
    Well,
    /// It harmed itself: it trapped, breached a limit, or returned what nobody can use.
    Ill,
    /// It did not get to run, or an admin has to act.
    Nothing,
}

impl From<&PluginFailure> for FailureKind {
    fn from(failure: &PluginFailure) -> Self {
        match failure {
            PluginFailure::Rejected(_) => Self::PluginRejected,
            PluginFailure::RetryLater(_) => Self::PluginRetryLater,
            PluginFailure::Trapped(_) => Self::PluginTrapped,
            PluginFailure::Limit(limit, _) => limit.failure(),
            PluginFailure::TimedOut(_) => Self::PluginDeadline,
            PluginFailure::BadOutput(_) => Self::PluginBadOutput,
            PluginFailure::NotGranted(_) => Self::PluginNotGranted,
            PluginFailure::Busy(_) => Self::PluginBusy,
            PluginFailure::SetAside { .. } => Self::PluginSetAside,
            PluginFailure::Missing(_) => Self::PluginMissing,
            PluginFailure::Stopping => Self::Interrupted,
        }
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
}
