//! How to write for the reader's terminal.

/// What the terminal can show, found out by the caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Whether colour escapes may be written.
    pub(crate) colour: bool,
    /// How many columns a line may have; `usize::MAX` where nothing is to be cut.
    pub(crate) width: usize,
    /// Whether characters outside ASCII may be written.
    pub(crate) unicode: bool,
}

/// Below this width the layouts stop shrinking, and lines are cut.
const LAYOUT_MIN: usize = 20;
/// Above this width the layouts stop growing: a bar of a thousand cells helps nobody.
const LAYOUT_MAX: usize = 160;

impl Style {
    /// The width to lay out for: bounded on both sides, whatever the terminal says.
    pub(crate) fn layout_width(&self) -> usize {
        self.width.clamp(LAYOUT_MIN, LAYOUT_MAX)
    }

    /// One of two spellings of the same sign.
    pub(crate) fn pick<'t>(&self, unicode: &'t str, ascii: &'t str) -> &'t str {
        if self.unicode { unicode } else { ascii }
    }

    /// What stands for text that was cut away.
    pub(crate) fn ellipsis(&self) -> &'static str {
        if self.unicode { "…" } else { "~" }
    }
}

/// What a piece of text means; colour follows from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tone {
    /// Ordinary text.
    Plain,
    /// Beside the point.
    Dim,
    /// A heading, or what the reader looks for.
    Strong,
    /// As it should be.
    Good,
    /// In progress, or worth a look.
    Warn,
    /// Wrong.
    Bad,
    /// A family in a chart, by its number.
    Family(usize),
}

/// Foreground colours of families: the six that are legible on black and on white, then their bright twins.
const FAMILY_COLOURS: [&str; 12] = ["36", "33", "35", "32", "34", "31", "96", "93", "95", "92", "94", "91"];

impl Tone {
    /// The parameters of the escape that switches this tone on; empty for ordinary text.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "2",
            Self::Strong => "1",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
            Self::Family(index) => FAMILY_COLOURS[index % FAMILY_COLOURS.len()],
        }
    }

    /// The tone of a state's word.
    pub(crate) fn of_state(state: &str) -> Self {
        match state {
            "succeeded" => Self::Good,
            "failed" => Self::Bad,
            "running" | "compensated" => Self::Warn,
            "queued" | "held" | "cancelled" => Self::Dim,
            _ => Self::Plain,
        }
    }
}
