//! What happens to the entries of a city after they were loaded: in a fixed, seeded order, a
//! mixture of the ordinary and of what goes wrong between two systems.

use jiff::Span;

use super::source::SourceRegistry;
use super::{Registries, address, days, people};
use crate::model::registry::{
    CaregiverStatus, DatedStatus, Deletion, EntityKind, InstitutionStatus, Submission,
};
use crate::sandbox::city::Rng;

/// Something that happens to one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happening {
    Moved,
    NewPhone,
    Trained,
    /// A new statement of good health.
    Examined,
    /// An institution's new clients, for three months.
    SuspendedNewClients,
    /// A caregiver's settlement, for three months.
    SettlementSuspended,
    /// An institution's agreement.
    Ended,
    Left,
    /// A caregiver changes to another institution, because his or her own closes.
    Changed,
    Deleted,
    New,
    /// A version that arrives after a later one.
    Late,
    /// An update that arrives after the end of its entry.
    LateAfterEnd,
    /// A version sent again with other content.
    Altered,
}

impl Happening {
    /// What should become of it.
    pub fn expected(self) -> ExpectedAnswer {
        match self {
            Happening::Late | Happening::LateAfterEnd => ExpectedAnswer::Older,
            Happening::Altered => ExpectedAnswer::Refused,
            _ => ExpectedAnswer::Stored,
        }
    }

    /// What it is, for people.
    pub fn words(self) -> &'static str {
        match self {
            Happening::Moved => "new addresses 迁址",
            Happening::NewPhone => "new phones 换号",
            Happening::Trained => "trainings 培训",
            Happening::Examined => "health statements 健康声明",
            Happening::SuspendedNewClients => "stops for new clients 暂停新增",
            Happening::SettlementSuspended => "suspensions 暂停结算",
            Happening::Ended => "ends of agreements 协议终止",
            Happening::Left => "departures 离职",
            Happening::Changed => "moves to another institution 转岗",
            Happening::Deleted => "deletions 注销",
            Happening::New => "new entries 新增",
            Happening::Late => "late old versions 迟到旧版",
            Happening::LateAfterEnd => "updates after the end 注销后更新",
            Happening::Altered => "altered repeats 同版异文",
        }
    }
}

/// What the LTC system expects of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedAnswer {
    Stored,
    Older,
    Refused,
}

/// How often each happens; `New` is for caregivers, two institutions come beside them.
const TIMES: [(Happening, usize); 9] = [
    (Happening::Moved, 60),
    (Happening::NewPhone, 40),
    (Happening::Trained, 60),
    (Happening::SettlementSuspended, 12),
    (Happening::Left, 20),
    (Happening::Deleted, 10),
    (Happening::New, 15),
    (Happening::Late, 8),
    (Happening::Altered, 3),
];
/// Institutions at the beginning that something special happens to; the others move.
const SPECIAL: [(u64, Happening); 9] = [
    (0, Happening::SuspendedNewClients),
    (1, Happening::SuspendedNewClients),
    (2, Happening::SuspendedNewClients),
    (3, Happening::SuspendedNewClients),
    (4, Happening::Ended),
    (5, Happening::Ended),
    (6, Happening::Deleted),
    (super::INSTITUTIONS, Happening::New),
    (super::INSTITUTIONS + 1, Happening::New),
];
const ORDINARY: u64 = 10;

/// One happening and the message that tells of it.
pub struct Event {
    pub happening: Happening,
    pub submission: Submission,
}

/// Everything that happens, in its order; each event is told from what the books hold when it comes.
pub struct Life {
    city: Registries,
    rng: Rng,
    due: Vec<Due>,
    /// Caregivers nothing has happened to yet.
    fresh: Vec<u64>,
    new: u64,
}

enum Due {
    Of(Happening),
    Institution(u64, Happening),
    /// Written before what was told last, and arrives after it.
    Told(Happening, Submission),
    Caregiver(u64, Happening),
}

impl Life {
    pub fn of(city: Registries) -> Life {
        let mut rng = Rng::of(city.seed, "life", &[]);
        let mut due: Vec<Due> = TIMES
            .iter()
            .flat_map(|(happening, times)| (0..*times).map(|_| Due::Of(*happening)))
            .collect();
        due.extend(
            SPECIAL
                .iter()
                .map(|(index, happening)| Due::Institution(*index, *happening)),
        );
        for at in (1..due.len()).rev() {
            due.swap(at, rng.between(0, at as i64) as usize);
        }
        let mut fresh: Vec<u64> = (0..city.caregivers)
            .filter(|index| place(&city, *index) >= ORDINARY)
            .collect();
        for at in (1..fresh.len()).rev() {
            fresh.swap(at, rng.between(0, at as i64) as usize);
        }
        Life {
            city,
            rng,
            due,
            fresh,
            new: 0,
        }
    }

    /// The next one, told from what the LTC system's books hold; none when everything has happened.
    pub fn next(&mut self, books: &SourceRegistry) -> Option<Event> {
        loop {
            let event = match self.due.pop()? {
                Due::Told(happening, submission) => Some(Event {
                    happening,
                    submission,
                }),
                Due::Institution(index, happening) => self.institution(books, index, happening),
                Due::Of(Happening::Moved) => {
                    let index = self
                        .rng
                        .between(
                            ORDINARY.cast_signed(),
                            self.city.institutions.cast_signed() - 1,
                        )
                        .cast_unsigned();
                    self.institution(books, index, Happening::Moved)
                }
                Due::Of(Happening::New) => {
                    self.new += 1;
                    let index = self.city.caregivers + self.new;
                    let mut record = self.city.caregiver(index);
                    record.institution_id = self.other_institution();
                    Some(Event {
                        happening: Happening::New,
                        submission: Submission::Caregiver(Box::new(record)),
                    })
                }
                Due::Of(happening) => {
                    let index = self.fresh.pop()?;
                    self.caregiver(books, index, happening)
                }
                Due::Caregiver(index, happening) => self.caregiver(books, index, happening),
            };
            if event.is_some() {
                return event;
            }
        }
    }

    fn other_institution(&mut self) -> String {
        super::id_of_institution(
            self.rng
                .between(
                    ORDINARY.cast_signed(),
                    self.city.institutions.cast_signed() - 1,
                )
                .cast_unsigned(),
        )
    }

    fn institution(
        &mut self,
        books: &SourceRegistry,
        index: u64,
        happening: Happening,
    ) -> Option<Event> {
        let today = self.city.today;
        let mut record = match happening {
            Happening::New => self.city.institution(index),
            _ => books.institution(&super::id_of_institution(index))?,
        };
        match happening {
            Happening::Moved => record.address = Some(address(&mut self.rng)),
            Happening::SuspendedNewClients => {
                let to = Some(today.saturating_add(Span::new().months(3)));
                record.statuses.push(DatedStatus {
                    status: InstitutionStatus::SuspendedNewClients,
                    from: today,
                    to,
                });
            }
            Happening::Ended => record.statuses.push(DatedStatus {
                status: InstitutionStatus::Ended,
                from: today,
                to: None,
            }),
            Happening::Deleted => {
                let staff: Vec<u64> = (0..self.city.caregivers)
                    .filter(|caregiver| place(&self.city, *caregiver) == index)
                    .collect();
                if staff.iter().any(|caregiver| {
                    books
                        .caregiver(&id_of(*caregiver))
                        .is_some_and(|held| held.institution_id == record.institution_id)
                }) {
                    // Its people change first; then it closes.
                    self.due.push(Due::Institution(index, happening));
                    self.due.extend(
                        staff
                            .into_iter()
                            .map(|caregiver| Due::Caregiver(caregiver, Happening::Changed)),
                    );
                    return None;
                }
                return Some(self.deleted(
                    EntityKind::Institution,
                    Submission::Institution(Box::new(record)),
                ));
            }
            _ => {}
        }
        record.version += i64::from(happening != Happening::New);
        Some(Event {
            happening,
            submission: Submission::Institution(Box::new(record)),
        })
    }

    fn caregiver(
        &mut self,
        books: &SourceRegistry,
        index: u64,
        happening: Happening,
    ) -> Option<Event> {
        let today = self.city.today;
        let mut record = books.caregiver(&id_of(index))?;
        record.version += 1;
        match happening {
            Happening::NewPhone | Happening::Altered => {
                let phone = people::phone(&mut self.rng);
                record.personal.as_mut()?.phone = Some(phone);
                // The same version as before, with something else in it.
                record.version -= i64::from(happening == Happening::Altered);
            }
            Happening::Trained => record.training.last_mut()?.hours += 8,
            Happening::SettlementSuspended => {
                let to = Some(today.saturating_add(Span::new().months(3)));
                record.statuses.push(DatedStatus {
                    status: CaregiverStatus::SettlementSuspended,
                    from: today,
                    to,
                });
            }
            Happening::Left => {
                record.statuses.push(DatedStatus {
                    status: CaregiverStatus::Left,
                    from: today,
                    to: None,
                });
            }
            Happening::Changed => record.institution_id = self.other_institution(),
            Happening::Late => {
                // The version after the next is told first, then the one between.
                self.due.push(Due::Told(
                    happening,
                    Submission::Caregiver(Box::new(record.clone())),
                ));
                record.version += 1;
                record.health_statement_on = Some(days(today, -1));
                return Some(Event {
                    happening: Happening::Examined,
                    submission: Submission::Caregiver(Box::new(record)),
                });
            }
            Happening::Deleted => {
                return Some(self.deleted(
                    EntityKind::Caregiver,
                    Submission::Caregiver(Box::new(record)),
                ));
            }
            _ => {}
        }
        Some(Event {
            happening,
            submission: Submission::Caregiver(Box::new(record)),
        })
    }

    /// The end of an entry; an update written before it follows.
    fn deleted(&mut self, kind: EntityKind, update: Submission) -> Event {
        let (id, version, on) = (
            update.id().to_string(),
            update.version() + 1,
            self.city.today,
        );
        let submission = match kind {
            EntityKind::Institution => Submission::DeleteInstitution(Deletion {
                id,
                version,
                reason: "机构关闭".into(),
                on,
            }),
            EntityKind::Caregiver => Submission::DeleteCaregiver(Deletion {
                id,
                version,
                reason: "本人申请注销".into(),
                on,
            }),
        };
        self.due.push(Due::Told(Happening::LateAfterEnd, update));
        Event {
            happening: Happening::Deleted,
            submission,
        }
    }
}

fn id_of(caregiver: u64) -> String {
    format!("NN-C{:06}", caregiver + 1)
}

/// The institution a caregiver was loaded with, by its index.
fn place(city: &Registries, caregiver: u64) -> u64 {
    let mut rng = Rng::of(city.seed, "caregiver", &[caregiver]);
    rng.between(0, city.institutions.cast_signed() - 1)
        .cast_unsigned()
}
