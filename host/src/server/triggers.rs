//! `/v1/triggers`: the triggers that are known beforehand. Other paths and words can be used without an entry here.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    request::Asked,
    respond::{Answer, List, ok},
};
use crate::{
    model::trigger::arcgis::{self, ANY_CHANGE, CHANGE_TYPES, EVERYTHING, Family, JOB_ENDS, Property, Text},
    services::Services,
};

/// What a trigger is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Items, groups, users and roles of an ArcGIS organization. An organization has no other triggers.
    Organization,
    /// Changes of a feature service. The event names the service as its `source`.
    FeatureService,
    /// The end of a job of a geoprocessing service.
    GeoprocessingService,
}

/// A trigger that is known beforehand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TriggerView {
    /// What a webhook writes in `selectors`; `<...>` is to be filled in.
    #[schema(example = "/items/<itemID>/share")]
    pub selector: String,
    /// The trigger of an event that the selector matches.
    #[schema(example = "/items/<itemID>/share")]
    pub trigger: String,
    /// What the trigger is about.
    pub subject: Subject,
    /// What the trigger means, in English and in French.
    pub description: Text,
    /// The list in the event's `properties`; null if the operation has no such list.
    pub property: Option<Property>,
}

fn all() -> Vec<TriggerView> {
    let view = |selector: &str, trigger: String, subject, description| TriggerView {
        selector: selector.to_owned(),
        trigger,
        subject,
        description,
        property: None,
    };
    let mut views = vec![view("/", "/<family>/<id>/<operation>".to_owned(), Subject::Organization, EVERYTHING)];
    for row in arcgis::rows() {
        let family = row.selector.split('/').nth(1).and_then(Family::named);
        let trigger = family.map_or_else(String::new, |family| {
            let operation = row.operation.map_or("<operation>", |operation| operation.name);
            format!("/{}/<{}>/{operation}", family.as_str(), family.placeholder())
        });
        let property = row.operation.and_then(|operation| operation.property);
        views.push(TriggerView { property, ..view(&row.selector, trigger, Subject::Organization, row.description) });
    }
    views.push(view("*", "<changeType>".to_owned(), Subject::FeatureService, ANY_CHANGE));
    views.extend(CHANGE_TYPES.iter().map(|change| view(change.name, change.name.to_owned(), Subject::FeatureService, change.description)));
    for (end, description) in JOB_ENDS {
        let path = format!("/services/<folder>/<service>.GPServer/jobs/<jobId>/{end}");
        views.push(view("/services/<folder>/<service>.GPServer", path, Subject::GeoprocessingService, description));
    }
    views
}

/// List the triggers of ArcGIS Enterprise ("Webhook event triggers"), on one page.
#[utoipa::path(get, path = "/v1/triggers", tag = "triggers",
    params(("subject" = Option<Subject>, Query, description = "only triggers about this")),
    responses((status = 200, description = "all of them", body = List<TriggerView>)))]
pub async fn list(_services: Services, asked: Asked) -> Answer {
    asked.only(&["subject"])?;
    let subject = asked.query_as::<Subject>("subject", "`organization`, `feature_service` or `geoprocessing_service`")?;
    let data = all().into_iter().filter(|view| subject.is_none_or(|subject| view.subject == subject)).collect();
    ok(&List { data, next: None })
}
