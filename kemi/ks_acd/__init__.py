"""Call distribution as the proxy sees it: SIP facts in, ACD calls and steps out. Pure; the shells are beside it.

ks_acd.steps.step_of(action)          what to do after an answer of the ACD
ks_acd.outcomes.outcome_of(failure)   what a failed ringing means for the agent
ks_acd.media_host.headers(...)        what a media host is told
ks_acd.breaker.Breaker                when the database is asked at all
"""
