"""Topic `starts`: a worker is about to call a model, or has given a query back uncalled."""

from __future__ import annotations

from schemas.fields import Id, Name
from schemas.wire import Versioned


class Start(Versioned, frozen=True, kw_only=True):
    """A call that is about to begin, or one that will not be made.

    A worker that stands still cannot say that its call goes on. So it says beforehand that one
    begins, and its reservation is kept beyond its deadline until there is a result.

    Attributes:
        id: The query's id.
        decision_id: As in the routed message.
        model: The model that is asked.
        returned: The time to begin is over, for the model's server took no calls, and none has been
            charged: where no result comes the query is decided again.
    """

    id: Id
    decision_id: Id
    model: Name
    returned: bool = False
