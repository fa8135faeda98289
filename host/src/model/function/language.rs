//! Names of months and days (Unicode CLDR, format width).

/// How one language names them.
pub(super) struct Language {
    name: &'static str,
    pub months: [&'static str; 12],
    pub months_short: [&'static str; 12],
    /// From Monday on.
    pub days: [&'static str; 7],
    pub days_short: [&'static str; 7],
    /// Before and after noon.
    pub halves: [&'static str; 2],
}

/// The language of a tag such as `fr` or `fr-CA`.
pub(super) fn named(tag: &str) -> Option<&'static Language> {
    let name = tag.split(['-', '_']).next().unwrap_or_default();
    LANGUAGES.iter().find(|language| language.name.eq_ignore_ascii_case(name))
}

static LANGUAGES: [Language; 4] = [
    Language {
        name: "en",
        months: ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"],
        months_short: ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
        days: ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
        days_short: ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
        halves: ["AM", "PM"],
    },
    Language {
        name: "fr",
        months: ["janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre"],
        months_short: ["janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc."],
        days: ["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"],
        days_short: ["lun.", "mar.", "mer.", "jeu.", "ven.", "sam.", "dim."],
        halves: ["AM", "PM"],
    },
    Language {
        name: "de",
        months: ["Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"],
        months_short: ["Jan.", "Feb.", "März", "Apr.", "Mai", "Juni", "Juli", "Aug.", "Sept.", "Okt.", "Nov.", "Dez."],
        days: ["Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"],
        days_short: ["Mo.", "Di.", "Mi.", "Do.", "Fr.", "Sa.", "So."],
        halves: ["AM", "PM"],
    },
    Language {
        name: "es",
        months: [
            "enero",
            "febrero",
            "marzo",
            "abril",
            "mayo",
            "junio",
            "julio",
            "agosto",
            "septiembre",
            "octubre",
            "noviembre",
            "diciembre",
        ],
        months_short: ["ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sept", "oct", "nov", "dic"],
        days: ["lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"],
        days_short: ["lun", "mar", "mié", "jue", "vie", "sáb", "dom"],
        halves: ["a. m.", "p. m."],
    },
];
