"""What a person is told when a constraint of schema.sql refuses; a test finds each constraint here."""

from __future__ import annotations

from typing import NamedTuple

_NAME = "1 to 63 letters, digits, _ . - (a letter or digit first)"
_NUMBER = "an E.164 number is 3 to 15 digits without +, no 0 first"

#: Constraint → what exists already.
UNIQUE = {
    "account_username_key": "the tenant has an account of this name already",
    "address_book_entry_name_key": "this name with this number is in the address book already",
    "caller_id_pkey": "the set has a number for this region already",
    "domain_name_key": "this domain exists already (a domain belongs to one tenant)",
    "gateway_group_member_pkey": "the gateway is a member of this group already",
    "gateway_group_name_key": "the tenant has a group of this name already",
    "gateway_name_key": "the tenant has a gateway of this name already",
    "gateway_rate_pkey": "the gateway has a rate for this prefix already",
    "node_name_key": "a node of this name exists already",
    "number_pkey": "this number is in the inventory already",
    "number_range_pkey": "two ranges begin with the same number",
    "number_range_set_current_key": "another import became current at the same time: try again",
    "route_folder_path_key": "the tenant has a folder of this path already",
    "route_id_key": "a route of this id exists already",
    "schedule_name_key": "the tenant has a schedule of this name already",
    "tenant_name_key": "a tenant of this name exists already",
    "tenant_realm_key": "another tenant has this realm",
    "archive_file_path_key": "there is an archive file of this name already",
    "webhook_delivery_event_key": "this event is to be posted to this webhook already",
    "webhook_id_key": "a webhook of this id exists already",
    "trunk_gateway_key": "the gateway has a trunk registration already",
}

#: Constraint → what the value must be.
CHECKS = {
    "account_caller_number_check": f"caller number: {_NUMBER}",
    "account_display_name_check": "display name: up to 128 printing characters, no blank at the ends",
    "account_ha1_md5_check": "ha1_md5 must be 32 hexadecimal digits, in lower case",
    "account_ha1_sha256_check": "ha1_sha256 must be 64 hexadecimal digits, in lower case",
    "account_max_calls_check": "calls at once: 0 or more",
    "account_max_contacts_check": "contacts: 1 to 100",
    "account_ring_timeout_check": "ring timeout: 1 to 3600 seconds",
    "account_username_check": "user name: 1 to 64 letters, digits and _ . + * # -",
    "address_book_entry_name_check": "name: 1 to 128 characters, no blank at the ends",
    "address_book_entry_note_check": "note: no blank at the ends",
    "address_book_entry_number_check": "number: 1 to 128 letters, digits and + * # . _ @ -",
    "api_token_name_check": "name of the token: 1 to 128 printing characters, no blank at the ends",
    "api_token_scopes_check": "a token needs at least one scope",
    "api_token_secret_hash_check": "secret_hash must be 64 hexadecimal digits, in lower case",
    "archive_file_sha256_check": "sha256 must be 64 hexadecimal digits, in lower case",
    "audit_log_operation_check": "operation: insert, update or delete",
    "call_end_check": "a final code without an end or an answer",
    "call_hung_up_by_check": "who hung up: caller, callee or system",
    "event_horizon_only_one_check": "there is one horizon",
    "caller_id_number_check": "number: up to 20 digits, with or without +",
    "caller_id_region_check": "region: no control characters, no blank at the ends",
    "caller_id_set_name_check": f"name of the set: {_NAME}",
    "change_log_operation_check": "operation: insert, update or delete",
    "domain_name_check": "domain: 1 to 253 lower-case letters, digits and . - : [ ]",
    "gateway_group_member_weight_check": "weight: 0 to 10000",
    "gateway_group_name_check": f"name of the group: {_NAME}",
    "gateway_host_check": "host: a host name or an IP address (IPv6 in brackets)",
    "gateway_max_calls_check": "calls at once: 0 or more",
    "gateway_name_check": f"name of the gateway: {_NAME}",
    "gateway_no_reply_timeout_check": "no-reply timeout: 100 to 30000 ms",
    "gateway_port_check": "port: 1 to 65535",
    "gateway_rate_currency_check": "currency: three capital letters, as RUB",
    "gateway_rate_fee_check": "connection fee: 0 or more",
    "gateway_rate_first_check": "first increment: 1 to 3600 seconds",
    "gateway_rate_next_check": "next increment: 1 to 3600 seconds",
    "gateway_rate_prefix_check": "prefix: up to 15 digits",
    "gateway_rate_price_check": "price per minute: 0 or more",
    "gateway_ring_timeout_check": "ring timeout: 1 to 3600 seconds",
    "gateway_source_port_check": "source port: 1 to 65535",
    "gateway_transport_check": "transport: udp, tcp or tls",
    "node_name_check": f"name of the node: {_NAME}",
    "number_destination_check": "only an assigned number leads somewhere",
    "number_e164_check": _NUMBER,
    "number_note_check": "note: no blank at the ends",
    "number_range_order_check": "a range must not end before it begins",
    "number_state_check": "a reserved or assigned number has a tenant, a free or ported one has none",
    "retention_keep_calls_check": "days: 1 to 36500",
    "route_a_mask_check": "a mask of A needs both pattern and replacement",
    "route_b_mask_check": "a mask of B needs both pattern and replacement",
    "route_folder_path_check": "folder: names with / between them, at most 200 characters",
    "route_options_check": "options must be a JSON object",
    "route_pattern_classes_check": "four pattern classes are needed",
    "schedule_name_check": f"name of the schedule: {_NAME}",
    "schedule_on_holidays_check": "on holidays: closed, open or ignore",
    "tenant_max_calls_check": "calls at once: 0 or more",
    "tenant_name_check": "name of the tenant: 1 to 63 lower-case letters, digits and - (no - first)",
    "tenant_realm_check": "realm: 1 to 253 letters, digits and _ . : @ -",
    "trunk_auth_ha1_check": "auth_ha1 must be 32 hexadecimal digits, in lower case",
    "trunk_auth_realm_check": "realm of the carrier: 1 to 128 characters, no quotes, no control characters",
    "trunk_auth_username_check": "user name of the digest: 1 to 64 characters, no quotes, no colon",
    "trunk_domain_check": "domain of the registration: a host name or an IP address",
    "trunk_expires_check": "expires: 30 to 86400 seconds",
    "trunk_username_check": "user name of the registration: 1 to 64 letters, digits and _ . + * # -",
    "worker_run_outcome_check": "a run that goes on has no end, one that ended has one",
    "webhook_note_check": "note: at most 1000 characters",
    "webhook_url_check": "address: http:// or https://, at most 1000 characters, no blanks",
}


class Reference(NamedTuple):
    """The two ways in which a foreign key refuses."""

    #: INSERT, UPDATE: what is named does not exist.
    missing: str
    #: DELETE: what still refers to the object.
    still_used: str


_TENANT = "there is no such tenant"

#: Foreign key → both refusals.
REFERENCES = {
    "account_domain_account_fkey": Reference("there is no such account", "the account is in use"),
    "account_domain_domain_fkey": Reference(
        "the tenant has no such domain", "accounts may still register in this domain"
    ),
    "account_tenant_fkey": Reference(_TENANT, "the tenant still has accounts"),
    "address_book_entry_tenant_fkey": Reference(_TENANT, "the tenant still has address book entries"),
    "api_token_tenant_fkey": Reference(_TENANT, "the tenant still has tokens"),
    "caller_id_tenant_fkey": Reference(_TENANT, "the tenant still has caller ids"),
    "domain_tenant_fkey": Reference(_TENANT, "the tenant still has domains"),
    "gateway_group_member_gateway_fkey": Reference(
        "there is no such gateway", "the gateway is still a member of a group"
    ),
    "gateway_group_member_group_fkey": Reference("there is no such group", "the group still has members"),
    "gateway_group_tenant_fkey": Reference(_TENANT, "the tenant still has groups"),
    "gateway_rate_gateway_fkey": Reference("there is no such gateway", "the gateway still has rates"),
    "gateway_tenant_fkey": Reference(_TENANT, "the tenant still has gateways"),
    "number_gateway_fkey": Reference(
        "there is no such gateway", "numbers still come in through this gateway"
    ),
    "number_range_set_fkey": Reference("there is no such import", "the import still has ranges"),
    "number_tenant_fkey": Reference(_TENANT, "the tenant still has numbers"),
    "route_folder_fkey": Reference("the tenant has no such folder", "the folder still holds routes"),
    "route_folder_tenant_fkey": Reference(_TENANT, "the tenant still has route folders"),
    "route_schedule_fkey": Reference("the tenant has no such schedule", "routes still use this schedule"),
    "route_tenant_fkey": Reference(_TENANT, "the tenant still has routes"),
    "schedule_tenant_fkey": Reference(_TENANT, "the tenant still has schedules"),
    "api_token_ticket_fkey": Reference("there is no such token", "the token still has tickets"),
    "webhook_delivery_webhook_fkey": Reference("there is no such webhook", "events still wait for it"),
    "retention_tenant_fkey": Reference(_TENANT, "the tenant still has a retention"),
    "webhook_tenant_fkey": Reference(_TENANT, "the tenant still has webhooks"),
    "trunk_gateway_fkey": Reference("there is no such gateway", "the gateway still has a trunk registration"),
}
