"""Which actions concern the queue: both interpreters hand them to the ACD as they are."""

from __future__ import annotations

from sems_apps import actions as do

ACD_ACTIONS = (
    do.EnterQueue,
    do.LeaveQueue,
    do.ReportOffer,
    do.ReportJoin,
    do.ReportTalkEnd,
    do.AskPosition,
    do.AskCallback,
    do.ReportCallback,
    do.ReportSurvey,
    do.ReportHold,
    do.ReportTransfer,
)
