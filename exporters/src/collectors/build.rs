//! What program answers.

use crate::collector::{CollectError, Collector, Input};
use crate::families::Families;
use crate::table::{BUILD_INFO, CollectorName};

pub(crate) struct Build;

impl Collector for Build {
    fn name(&self) -> CollectorName {
        CollectorName::Build
    }

    fn collect(&self, input: Input<'_>, out: &mut Families) -> Result<(), CollectError> {
        out.add(&BUILD_INFO, [&input.build.version], 1.0);
        Ok(())
    }
}
