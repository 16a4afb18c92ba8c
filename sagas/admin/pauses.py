"""The page of pauses: what a person has stopped for a while. Users pause something here, and let it go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import F, QuerySet
from django.http import HttpRequest, QueryDict
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas import limits
from sagas.admin import present
from sagas.admin.readonly import LookOnly
from sagas.definition.registry import all_definitions
from sagas.errors import SagaError
from sagas.models import Pause
from sagas.operations import actions
from sagas.operations.actions import Plan, Target

if TYPE_CHECKING:
    _PauseForm = forms.ModelForm[Pause]
else:
    # Only Django's stubs know its type parameter.
    _PauseForm = forms.ModelForm

#: What a pause is, and how it ended.
_RECORD = ["what", "standing", "began", "paused_by", "reason", "ended", "ended_by", "end_reason"]
#: What "new starts of every saga" is called in the form.
_EVERY = "*"


class _Asked(_PauseForm):
    """A form that is sent twice: the first time it says what would be done."""

    why = forms.CharField(label=_("Why"), max_length=1000, widget=forms.Textarea({"rows": 3}))
    #: What the person was told. What is done is only what was told.
    told = forms.CharField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Pause
        fields: list[str] = []

    def clean(self) -> dict[str, Any]:
        """Say what would be done, unless that was said before."""
        given = super().clean() or {}
        if self.errors:
            return given
        key, plan = self.plan(given)
        if given.get("told") != key:
            again = QueryDict(mutable=True)
            again.update({**{name: self.data[name] for name in self.data}, "told": key})
            self.data = again
            raise forms.ValidationError(gettext("%(plan)s Save again to do it.") % {"plan": plan.text})
        return given

    def plan(self, given: dict[str, Any]) -> tuple[str, Plan]:
        """A key of what is to be done, and what that is."""
        raise NotImplementedError


class _Begin(_Asked):
    what = forms.ChoiceField(label=_("What is paused"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["what"].choices = _choices()  # type: ignore[attr-defined]  # a ChoiceField
        self.order_fields(["what", "why", "told"])

    def plan(self, given: dict[str, Any]) -> tuple[str, Plan]:
        try:
            return given["what"], actions.plan_pause(_target(given["what"]))
        except SagaError as error:
            raise forms.ValidationError(str(error)) from error


class _End(_Asked):
    def plan(self, given: dict[str, Any]) -> tuple[str, Plan]:  # noqa: ARG002 - it depends on the pause alone
        pause = self.instance
        if pause.run_id is None:
            return f"end {pause.pk}", actions.plan_unpause(Target(pause.scope, pause.saga, pause.step))
        found = actions.preview(actions.Unpause(), [pause.run_id])
        if not found or found[0].plan is None:
            raise forms.ValidationError(found[0].why_not if found else gettext("the run is gone"))
        return f"end {pause.pk}", found[0].plan


def _choices() -> list[tuple[Any, Any]]:
    names = sorted({definition.name for definition in all_definitions()})
    steps = sorted({(found.name, step.name) for found in all_definitions() for step in found.all_steps})
    return [
        (
            gettext("New starts"),
            [(f"starts/{_EVERY}/", gettext("of every saga")), *((f"starts/{n}/", n) for n in names)],
        ),
        (gettext("A saga"), [(f"saga/{name}/", name) for name in names]),
        (gettext("A step's participant"), [(f"step/{saga}/{step}", f"{saga}.{step}") for saga, step in steps]),
    ]


def _target(what: str) -> Target:
    scope, saga, step = what.split("/")
    return Target(scope, "" if saga == _EVERY else saga, step)


@admin.register(Pause)
class PauseAdmin(LookOnly[Pause]):
    """Lists pauses, the open ones first. To add one pauses something; to change an open one ends it."""

    list_display = ["what", "standing", "began", "paused_by", "why", "ended", "ended_by"]
    list_display_links = ["what"]
    ordering = [F("ended_at").desc(nulls_first=True), "-id"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pause]:
        """All of them: there are as many as people have made."""
        return super().get_queryset(request)

    @admin.display(description=_("What is paused"))
    def what(self, pause: Pause) -> str:
        if pause.run_id is not None:
            return gettext("run %(run)s") % {"run": pause.run_id}
        return str(Target(pause.scope, pause.saga, pause.step))

    @admin.display(description=_("Standing"))
    def standing(self, pause: Pause) -> SafeString:
        return present.label("closed" if pause.ended_at else "open")

    @admin.display(description=_("Since"))
    def began(self, pause: Pause) -> str:
        return present.second(pause.since)

    @admin.display(description=_("Why"))
    def why(self, pause: Pause) -> str:
        return present.short(pause.reason)

    @admin.display(description=_("Ended"))
    def ended(self, pause: Pause) -> str:
        return present.second(pause.ended_at)

    # Pausing and unpausing ---------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Require the permission to pause what is wider than a run."""
        return request.user.has_perm("sagas.add_pause")

    def has_change_permission(self, request: HttpRequest, obj: Pause | None = None) -> bool:
        """Require the permission to end pauses. One that is ended is a record."""
        return request.user.has_perm("sagas.change_pause") and (obj is None or obj.ended_at is None)

    def get_form(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        obj: Pause | None = None,
        change: bool = False,  # noqa: ARG002
        **_kwargs: Any,
    ) -> type[forms.ModelForm[Pause]]:
        """Two forms: one that pauses, one that ends a pause."""
        return _Begin if obj is None else _End

    def get_fields(self, _request: HttpRequest, obj: Pause | None = None) -> list[Any]:
        """What the forms ask; of a pause also what it is."""
        if obj is None:
            return ["what", "why", "told"]
        return _RECORD if obj.ended_at is not None else [*_RECORD[:5], "why", "told"]

    def get_readonly_fields(self, _request: HttpRequest, obj: Pause | None = None) -> list[Any]:
        """A pause is a record."""
        return (
            []
            if obj is None
            else ["what", "standing", "began", "paused_by", "reason", "ended", "ended_by", "end_reason"]
        )

    def save_model(self, request: HttpRequest, obj: Pause, form: Any, change: bool) -> None:
        """Pause it, or end the pause."""
        user = request.user
        assert isinstance(user, AbstractBaseUser)  # the admin admits only logged-in users
        by, why = user.get_username()[: limits.PERSON_NAME], form.cleaned_data["why"]
        if not change:
            target = _target(form.cleaned_data["what"])
            actions.pause(target, by=by, reason=why)
            obj.pk = Pause.objects.get(
                scope=target.scope, saga=target.saga, step=target.step, run_id=None, ended_at=None
            ).pk
            obj.refresh_from_db()
        elif obj.run_id is not None:
            actions.carry_out(actions.Unpause(), obj.run_id, by=by, reason=why)
        else:
            actions.unpause(Target(obj.scope, obj.saga, obj.step), by=by, reason=why)
