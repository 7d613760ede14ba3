//! What failed, said after all ([`crate::retry`]). Pure.

use tocsin_schemas::records::{Alert, Audience, Delivery, DeliveryState};

use super::told::Heard;
use super::{Draft, Planner, Step, stands_in};
use crate::decide::{self, Why};
use crate::ledger;

impl Planner<'_> {
    /// The delivery that says after all what this one of the alert failed to say: to whoever has the contact's place now,
    /// or, where nobody was found, to the first of the chain. Nobody there, or nobody who was told what it corrects: it
    /// ends at once.
    pub fn again(&self, alert: &Alert, failed: &Delivery) -> Draft {
        // The worker adds audiences to an alert: the township that reads of it in the morning.
        let named = alert.audiences.iter().find(|a| a.role == failed.role && *a.subject == *failed.subject);
        let added =
            || Audience { role: failed.role, subject: failed.subject.as_str().into(), year_to_date: None };
        let audience = &named.cloned().unwrap_or_else(added);
        let step = self.place_now(alert, audience, failed);
        let mut draft = match &step {
            Some(step) => self.draft(alert, audience, step).0,
            None => self.unheard(alert, audience),
        };
        draft.delivery.delivery_id = ledger::retry_id(&failed.delivery_id);
        let ends = match step {
            None => Some((DeliveryState::Failed, Why::NoContact)),
            // A correction is for whoever was told what is wrong.
            Some(Step { whom, .. }) if decide::looks_back(alert.change) && !same_address(&whom, failed) => {
                Some((DeliveryState::Skipped, Why::ContactChanged))
            }
            Some(_) => None,
        };
        if let Some((state, why)) = ends {
            return self.ended(draft, state, why.as_str());
        }
        if draft.delivery.state == DeliveryState::Planned {
            draft.delivery.reason = Some(format!("{}:{}", Why::Retry.as_str(), failed.delivery_id));
        }
        draft
    }

    /// Who has the place now of whom it went to.
    fn place_now(&self, alert: &Alert, audience: &Audience, failed: &Delivery) -> Option<Step> {
        let (Some(role), Some(rank)) = (failed.contact_role, failed.contact_rank) else {
            return self.levels(alert, audience).into_iter().flatten().next();
        };
        let subject = failed.contact_subject.as_ref().unwrap_or(&failed.subject);
        let all = self.of_role(role, subject, stands_in(audience, role));
        let same: Vec<Step> = all.into_iter().filter(|step| step.whom.rank == rank).collect();
        // Over another gateway only where its own is configured no more.
        let own = match self.channels.get(&failed.channel) {
            Some(_) => same.iter().find(|step| step.whom.channel == failed.channel),
            None => same.iter().find(|step| same_address(&step.whom, failed)).or(same.first()),
        };
        own.cloned()
    }
}

/// Whether it goes where that one was to go; over another gateway, to the same phone.
fn same_address(whom: &Heard, failed: &Delivery) -> bool {
    match whom.channel == failed.channel {
        true => Some(&whom.address_hash) == failed.address_hash.as_ref(),
        false => Some(&whom.phone_hash) == failed.phone_hash.as_ref(),
    }
}
