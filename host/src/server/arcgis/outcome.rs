//! Parts of answers in ArcGIS's APIs: errors of a form, success, a page of a list.

use serde_json::{Value, json};

use crate::{
    catalog::WebhookEntry,
    model::{
        arcgis::{Form, Kept},
        problem::Problem,
    },
    server::respond::ApiError,
};

/// An error with the problems of a form. They have the names of the form's fields.
pub(super) fn problems(found: Vec<Problem>) -> ApiError {
    ApiError::problems(found)
}

/// Translates an error of a webhook's document to the names of the form's fields.
pub(super) fn placed(error: ApiError, fields: &[(&str, &str)]) -> ApiError {
    let ApiError::Invalid { problems, .. } = error else { return error };
    let place = |problem: Problem| {
        let field = fields.iter().find(|(ours, _)| problem.pointer.starts_with(ours)).map(|(_, theirs)| (*theirs).to_owned());
        Problem { pointer: field.unwrap_or(problem.pointer), ..problem }
    };
    ApiError::problems(problems.into_iter().map(place).collect())
}

pub(super) fn kept(entry: &WebhookEntry) -> Kept<'_> {
    Kept { id: &entry.id, spec: &entry.spec, created_at: entry.created_at, updated_at: entry.updated_at }
}

/// `{"success":true}`
pub(super) fn success() -> Value {
    json!({ "success": true })
}

/// A page of a list. `start` counts from 1; `nextStart` is -1 at the end.
pub(super) struct Slice {
    pub(super) start: usize,
    pub(super) num: usize,
    pub(super) next: i64,
}

/// Length of a page if `num` is not given, and the longest.
const NUM_DEFAULT: u64 = 25;
const NUM_MAX: u64 = 100;

impl Slice {
    pub(super) fn of(form: &Form, total: usize) -> Result<Self, ApiError> {
        let number = |name, default| -> Result<usize, ApiError> {
            let written = form.number(name, 1, u64::from(u32::MAX)).map_err(|problem| problems(vec![problem]))?;
            Ok(usize::try_from(written.unwrap_or(default)).unwrap_or(usize::MAX))
        };
        let (start, num) = (number("start", 1)?, number("num", NUM_DEFAULT)?.min(NUM_MAX as usize));
        let end = start.saturating_add(num);
        Ok(Self { start, num, next: if end <= total { i64::try_from(end).unwrap_or(-1) } else { -1 } })
    }

    pub(super) fn take<T>(&self, all: impl IntoIterator<Item = T>) -> Vec<T> {
        all.into_iter().skip(self.start - 1).take(self.num).collect()
    }
}
