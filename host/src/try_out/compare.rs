//! The requests of past deliveries, built by two versions of a plugin.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{SEED, TryError, able, is_empty, session_of, webhook_of};
use crate::{
    model::{
        difference::{Difference, differences},
        function::Ambient,
        id::DeliveryId,
        outcome::Failure,
        plugin::Export,
        request::BuiltRequest,
        webhook::Webhook,
    },
    outbound::{
        building::{Prepared, Trial, build_from},
        material::Material,
    },
    plugin::{ActivePlugin, Keys},
    services::Services,
    store::{Claimed, DeliveryFilter, Session},
};

/// Deliveries one comparison looks at, at most, and unless it says how many.
pub const LAST_MAX: usize = 500;

/// See [`LAST_MAX`].
pub const LAST_DEFAULT: usize = 100;

/// How long one comparison may take; it then says how far it came.
pub const COMPARE_TIME_MAX: Duration = Duration::from_secs(60);

/// One past delivery, built by both versions.
#[derive(Debug)]
pub struct Pair {
    /// Which.
    pub delivery: DeliveryId,
    /// Its webhook's name.
    pub webhook: String,
    /// What the active version makes of it.
    pub active: Built,
    /// What the candidate makes of it.
    pub candidate: Built,
    /// Where the requests differ. Empty where one of them is none: then the two above tell.
    pub differences: Vec<Difference>,
}

/// What one version makes of a delivery.
#[derive(Debug)]
pub struct Built {
    /// The request; `None`: nothing is sent. Or why there is none.
    pub request: Result<Option<BuiltRequest>, Failure>,
    /// How long the plugin took, in microseconds.
    pub transform_us: u64,
}

impl Built {
    /// In one word: `request`, `nothing`, or the failure's kind.
    pub fn word(&self) -> &'static str {
        match &self.request {
            Ok(Some(_)) => "request",
            Ok(None) => "nothing",
            Err(failure) => failure.kind.as_str(),
        }
    }
}

impl Pair {
    /// Whether both versions come to the same.
    pub fn is_same(&self) -> bool {
        self.differences.is_empty() && self.active.word() == self.candidate.word()
    }
}

/// What came of a comparison.
#[derive(Debug, Default)]
pub struct Compared {
    /// Deliveries looked at, the newest first.
    pub pairs: Vec<Pair>,
    /// Deliveries left out: their events or their webhook are gone.
    pub skipped: usize,
    /// Whether time was up before all were looked at.
    pub is_cut_short: bool,
}

/// Builds the requests of the last deliveries of the webhooks that use the plugin, by the active version and by the candidate.
pub async fn compare(
    services: &Services,
    (active, candidate): (&Arc<ActivePlugin>, &Arc<ActivePlugin>),
    webhook: Option<&str>,
    last: usize,
    keys: Keys,
) -> Result<Compared, TryError> {
    able(candidate, Export::Transform)?;
    let begun = Instant::now();
    let mut compared = Compared::default();
    for id in last_deliveries(services, &candidate.plugin_use.name, webhook, last).await? {
        if begun.elapsed() > COMPARE_TIME_MAX {
            compared.is_cut_short = true;
            break;
        }
        let claimed = services.store.look_back(&id).await?.filter(|claimed| !is_empty(claimed));
        let Some((claimed, webhook)) = claimed.and_then(|claimed| webhook_of(services, &claimed).map(|webhook| (claimed, webhook))) else {
            compared.skipped += 1;
            continue;
        };
        let session = session_of(services, claimed.delivery.session.as_deref()).await?;
        let ours = build(services, &claimed, &webhook, session.clone(), (active, keys)).await;
        let theirs = build(services, &claimed, &webhook, session, (candidate, keys)).await;
        let differences = match (&ours.request, &theirs.request) {
            (Ok(Some(ours)), Ok(Some(theirs))) => differences(ours, theirs),
            _ => Vec::new(),
        };
        compared.pairs.push(Pair { delivery: id, webhook: webhook.name.clone(), active: ours, candidate: theirs, differences });
    }
    Ok(compared)
}

/// Builds the request of a past delivery by `plugin`.
pub(super) async fn build(
    services: &Services,
    claimed: &Claimed,
    webhook: &Arc<Webhook>,
    session: Session,
    (plugin, keys): (&Arc<ActivePlugin>, Keys),
) -> Built {
    // When it was made: both versions see the same moment.
    let moment = Ambient { now: claimed.delivery.created_at, seed: SEED };
    let material = Material::new(services, claimed, webhook).seeing(session).at(moment);
    match build_from(&material, Some(&Trial { stand_in: Some(Arc::clone(plugin)), keys })).await {
        Ok(Prepared { request, report, .. }) => Built { request: Ok(request), transform_us: report.stages.transform_us },
        Err(failed) => Built { request: Err(failed.failure), transform_us: failed.report.stages.transform_us },
    }
}

/// The newest deliveries of the webhooks that use a plugin, or of one of them.
async fn last_deliveries(services: &Services, plugin: &str, webhook: Option<&str>, last: usize) -> Result<Vec<DeliveryId>, TryError> {
    let snapshot = services.catalog.snapshot();
    let uses = |webhook: &Webhook| webhook.transform.as_ref().is_some_and(|transform| transform.plugin == plugin);
    let mut webhooks: Vec<_> = snapshot.webhooks.values().filter(|entry| uses(&entry.webhook)).collect();
    if let Some(name) = webhook {
        webhooks.retain(|entry| entry.spec.name == name);
        if webhooks.is_empty() {
            return Err(TryError::Missing(format!("webhook `{name}` that uses the plugin `{plugin}`")));
        }
    }
    let mut found = Vec::new();
    for entry in webhooks {
        let filter = DeliveryFilter { webhook: Some(entry.id.clone()), ..DeliveryFilter::default() };
        let (mut ids, mut after): (Vec<_>, _) = (Vec::new(), None);
        loop {
            let page = services.store.deliveries(filter.clone(), after, last - ids.len()).await?;
            ids.extend(page.data.into_iter().map(|delivery| delivery.id));
            after = page.next;
            if after.is_none() || ids.len() >= last {
                break;
            }
        }
        found.extend(ids);
    }
    // Identifiers sort by when they were made.
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.truncate(last);
    Ok(found)
}
