//! The page on which a user undoes a link or merge of their own account.

use crate::flows::account::OwnAccount;
use crate::flows::account::profiles::LedgerView;
use crate::flows::directory::BrandView;
use crate::flows::refusal::{FlowError, PublicCode, Reason, refused};
use crate::flows::session::own_event;
use crate::flows::sign_in::reauthentication::Sensitive;
use crate::flows::undo::{UndoError, UndoRefusal};
use crate::flows::visit::{Answer, CookieChange, NextPage, Visit};
use crate::model::{LedgerId, SensitiveAction};

/// The contents of the page that asks before a link or merge is undone.
#[derive(Debug, Clone)]
pub struct UndoView {
    /// The anti-forgery token of its form.
    pub form_token: String,
    /// The organization of the account, if it has one.
    pub brand: Option<BrandView>,
    /// The entry of the ledger.
    pub entry: LedgerView,
}

impl OwnAccount {
    /// The contents of the page, or the answer that makes the user prove again who they are.
    pub async fn view_undo(&self, visit: &Visit, id: LedgerId) -> Result<Sensitive<UndoView>, FlowError> {
        let current = match self.sign_in.require_fresh(visit, SensitiveAction::Undo(id), "link.undo").await? {
            Sensitive::Show(current) => current,
            Sensitive::Prove(answer) => return Ok(Sensitive::Prove(answer)),
        };
        let entries = self.own_ledger(&current).await?;
        let undone = entries.iter().any(|view| view.undoes == Some(id));
        let found = entries.into_iter().find(|view| view.id == id && view.kind.can_be_undone() && view.own);
        let event = own_event("link.undo", &current);
        let entry = match found {
            None => return Err(refused(event, PublicCode::NotFound, Reason::EntryNotOwn)),
            Some(entry) if entry.undo_until.is_some() => entry,
            Some(_) => {
                let refusal = if undone { UndoRefusal::Done } else { UndoRefusal::TooLate };
                return Err(refused(event, refusal.public_code(), refusal.reason()));
            }
        };
        let form_token = self.interactions.form_token(&current.session.id.to_string());
        let brand = self.core.directory.brand_of(current.organization.as_ref()).await?;
        Ok(Sensitive::Show(UndoView { form_token, brand, entry }))
    }

    /// Undoes a link or merge of the user's own account. This session ends, and so do those that began since.
    pub async fn undo_own_link(&self, visit: &Visit, id: LedgerId) -> Result<Answer, FlowError> {
        let current = match self.sign_in.require_fresh(visit, SensitiveAction::Undo(id), "link.undo").await? {
            Sensitive::Show(current) => current,
            Sensitive::Prove(answer) => return Ok(answer),
        };
        match self.undos.undo(id, current.account.id.into(), Some(&current)).await {
            Ok(_) => Ok(Answer::to(NextPage::SignedOut(None)).with(CookieChange::ClearSession)),
            Err(UndoError::Flow(error)) => Err(error),
            Err(UndoError::Refused(refusal)) => {
                let event = own_event("link.undo", &current);
                Err(refused(event, refusal.public_code(), refusal.reason()))
            }
        }
    }
}
