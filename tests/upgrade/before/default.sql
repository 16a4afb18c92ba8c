SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE FUNCTION public.coupons_coupon_keep() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'a row of coupons_coupon is in use: %', OLD.code USING ERRCODE = 'restrict_violation';
END $$;
CREATE FUNCTION public.delivery_slot_keep() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'a row of delivery_slot is in use: %', OLD.id USING ERRCODE = 'restrict_violation';
END $$;
CREATE FUNCTION public.inventory_sku_keep() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'a row of inventory_sku is in use: %', OLD.code USING ERRCODE = 'restrict_violation';
END $$;
CREATE FUNCTION public.payments_payment_guard() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF (OLD.payment_id, OLD.order_no, OLD.run_id, OLD.amount, OLD.currency)
        IS DISTINCT FROM (NEW.payment_id, NEW.order_no, NEW.run_id, NEW.amount, NEW.currency) THEN
        RAISE EXCEPTION 'what came with payment % cannot be changed', OLD.payment_id USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.state <> NEW.state AND (OLD.state, NEW.state) NOT IN (
        ('TAKEN', 'DUE_BACK'), ('TAKEN', 'CONFLICT'),
        ('DUE_BACK', 'RETURNING'), ('DUE_BACK', 'RETURNED'), ('DUE_BACK', 'CONFLICT'),
        ('RETURNING', 'RETURNED'), ('RETURNING', 'CONFLICT'),
        ('RETURNED', 'CONFLICT'), ('CONFLICT', 'RETURNED')
    ) THEN
        RAISE EXCEPTION 'a payment that is % cannot become %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION public.payments_paymentevent_guard() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'what the gateway has said is append-only' USING ERRCODE = 'check_violation';
END $$;
CREATE FUNCTION public.sagas_confirmation_guard() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM sagas_run WHERE id = OLD.run_id AND state NOT IN ('SUCCEEDED', 'FAILED')) THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        ELSIF current_setting('sagas.erase', true) = 'on' AND to_jsonb(NEW) - 'data' = to_jsonb(OLD) - 'data' THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'confirmation % of run % has come, and stays', OLD.name, OLD.run_id
        USING ERRCODE = 'check_violation';
END $$;
CREATE FUNCTION public.sagas_escalation_guard() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    which uuid;
    stands text;
BEGIN
    IF TG_TABLE_NAME = 'sagas_run' THEN
        which := NEW.id;
    ELSIF TG_OP = 'DELETE' THEN
        which := OLD.run_id;
    ELSE
        which := NEW.run_id;
    END IF;
    SELECT state INTO stands FROM sagas_run WHERE id = which;
    IF stands = 'ESCALATED' AND NOT EXISTS (
        SELECT FROM sagas_escalation WHERE run_id = which AND resolved_at IS NULL
    ) THEN
        RAISE EXCEPTION 'run % is ESCALATED, and would have no open escalation', which
            USING ERRCODE = 'check_violation';
    ELSIF stands <> 'ESCALATED' AND EXISTS (
        SELECT FROM sagas_escalation WHERE run_id = which AND resolved_at IS NULL
    ) THEN
        RAISE EXCEPTION 'run % is %, and would have an open escalation', which, stands
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION public.sagas_log_guard() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND current_setting('sagas.erase', true) = 'on'
        AND to_jsonb(NEW) - 'data' = to_jsonb(OLD) - 'data' AND NEW.data IS NOT NULL AND OLD.data IS NOT NULL
        AND EXISTS (SELECT 1 FROM sagas_run WHERE id = OLD.run_id AND state IN ('SUCCEEDED', 'FAILED'))
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the saga log is append-only' USING ERRCODE = 'check_violation';
END $$;
CREATE FUNCTION public.sagas_read_committed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'runs are moved and confirmed at READ COMMITTED; this transaction is at %',
        upper(current_setting('transaction_isolation'))
        USING ERRCODE = 'inappropriate_isolation_level_for_branch_transaction';
END $$;
CREATE FUNCTION public.sagas_run_cursor() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'the cursor of a run in % (now %) cannot go from % to %',
        OLD.state, NEW.state, OLD.cursor, NEW.cursor USING ERRCODE = 'check_violation';
END $$;
CREATE FUNCTION public.sagas_run_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'run % is %, and may hold something: it cannot be deleted', OLD.id, OLD.state
        USING ERRCODE = 'check_violation';
END $$;
CREATE FUNCTION public.sagas_run_guard() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF (OLD.state, NEW.state) IN (
        ('PENDING', 'EXECUTING'), ('PENDING', 'COMPENSATING'), ('PENDING', 'ESCALATED'),
        ('EXECUTING', 'AWAITING_CONFIRM'), ('EXECUTING', 'CONFIRMING'), ('EXECUTING', 'SUCCEEDED'),
        ('EXECUTING', 'COMPENSATING'), ('EXECUTING', 'ESCALATED'),
        ('AWAITING_CONFIRM', 'CONFIRMING'), ('AWAITING_CONFIRM', 'COMPENSATING'),
        ('AWAITING_CONFIRM', 'ESCALATED'),
        ('CONFIRMING', 'SUCCEEDED'), ('CONFIRMING', 'ESCALATED'),
        ('COMPENSATING', 'FAILED'), ('COMPENSATING', 'ESCALATED'),
        ('ESCALATED', 'PENDING'), ('ESCALATED', 'EXECUTING'), ('ESCALATED', 'AWAITING_CONFIRM'),
        ('ESCALATED', 'CONFIRMING'), ('ESCALATED', 'COMPENSATING'),
        ('ESCALATED', 'SUCCEEDED'), ('ESCALATED', 'FAILED')
    ) THEN
        IF NEW.state = 'CONFIRMING' OR (OLD.state = 'EXECUTING' AND NEW.state = 'SUCCEEDED') THEN
            PERFORM FROM (
                SELECT c->>'name' AS name FROM sagas_definition AS d, jsonb_array_elements(d.body->'confirmations') AS c
                WHERE d.saga = NEW.saga AND d.version = NEW.version AND d.shape = NEW.shape
                UNION ALL SELECT '@parent' WHERE NEW.parent_id IS NOT NULL
            ) AS wanted WHERE NOT EXISTS (
                SELECT FROM sagas_confirmation AS came WHERE came.run_id = NEW.id AND came.name = wanted.name
            );
            IF FOUND THEN
                RAISE EXCEPTION 'run % cannot become % without its confirmations', NEW.id, NEW.state
                    USING ERRCODE = 'check_violation';
            END IF;
        END IF;
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a run in % cannot become %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
END $$;
CREATE FUNCTION public.sagas_run_unlock() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    DELETE FROM sagas_lock WHERE run_id = NEW.id;
    RETURN NULL;
END $$;
CREATE FUNCTION public.sagas_truncate_guard() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF EXISTS (SELECT FROM sagas_run) THEN
        RAISE EXCEPTION '% cannot be truncated while there are runs', TG_TABLE_NAME USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.auth_group (
    id integer NOT NULL,
    name character varying(150) NOT NULL
);
ALTER TABLE public.auth_group ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.auth_group_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.auth_group_permissions (
    id bigint NOT NULL,
    group_id integer NOT NULL,
    permission_id integer NOT NULL
);
ALTER TABLE public.auth_group_permissions ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.auth_group_permissions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.auth_permission (
    id integer NOT NULL,
    name character varying(255) NOT NULL,
    content_type_id integer NOT NULL,
    codename character varying(100) NOT NULL
);
ALTER TABLE public.auth_permission ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.auth_permission_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.auth_user (
    id integer NOT NULL,
    password character varying(128) NOT NULL,
    last_login timestamp with time zone,
    is_superuser boolean NOT NULL,
    username character varying(150) NOT NULL,
    first_name character varying(150) NOT NULL,
    last_name character varying(150) NOT NULL,
    email character varying(254) NOT NULL,
    is_staff boolean NOT NULL,
    is_active boolean NOT NULL,
    date_joined timestamp with time zone NOT NULL
);
CREATE TABLE public.auth_user_groups (
    id bigint NOT NULL,
    user_id integer NOT NULL,
    group_id integer NOT NULL
);
ALTER TABLE public.auth_user_groups ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.auth_user_groups_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE public.auth_user ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.auth_user_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.auth_user_user_permissions (
    id bigint NOT NULL,
    user_id integer NOT NULL,
    permission_id integer NOT NULL
);
ALTER TABLE public.auth_user_user_permissions ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.auth_user_user_permissions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.axes_accessattempt (
    id integer NOT NULL,
    user_agent character varying(255) NOT NULL,
    ip_address inet,
    username character varying(255),
    http_accept character varying(1025) NOT NULL,
    path_info character varying(255) NOT NULL,
    attempt_time timestamp with time zone NOT NULL,
    get_data text NOT NULL,
    post_data text NOT NULL,
    failures_since_start integer NOT NULL,
    CONSTRAINT axes_accessattempt_failures_since_start_check CHECK ((failures_since_start >= 0))
);
ALTER TABLE public.axes_accessattempt ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.axes_accessattempt_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.axes_accessattemptexpiration (
    access_attempt_id integer NOT NULL,
    expires_at timestamp with time zone NOT NULL
);
CREATE TABLE public.axes_accessfailurelog (
    id integer NOT NULL,
    user_agent character varying(255) NOT NULL,
    ip_address inet,
    username character varying(255),
    http_accept character varying(1025) NOT NULL,
    path_info character varying(255) NOT NULL,
    attempt_time timestamp with time zone NOT NULL,
    locked_out boolean NOT NULL
);
ALTER TABLE public.axes_accessfailurelog ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.axes_accessfailurelog_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.axes_accesslog (
    id integer NOT NULL,
    user_agent character varying(255) NOT NULL,
    ip_address inet,
    username character varying(255),
    http_accept character varying(1025) NOT NULL,
    path_info character varying(255) NOT NULL,
    attempt_time timestamp with time zone NOT NULL,
    logout_time timestamp with time zone,
    session_hash character varying(64) NOT NULL
);
ALTER TABLE public.axes_accesslog ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.axes_accesslog_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.coupons_coupon (
    code character varying(32) NOT NULL,
    discount_cents integer NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used boolean NOT NULL,
    customer_id integer,
    active boolean DEFAULT true NOT NULL,
    CONSTRAINT coupons_coupon_discount_cents_check CHECK ((discount_cents >= 0)),
    CONSTRAINT coupons_coupon_expires_in_range CHECK (((expires_at >= '2000-01-01 00:00:00+00'::timestamp with time zone) AND (expires_at < '2100-01-01 00:00:00+00'::timestamp with time zone)))
);
CREATE TABLE public.coupons_redemption (
    id bigint NOT NULL,
    run_id uuid NOT NULL,
    step character varying(48) NOT NULL,
    coupon_code character varying(32) NOT NULL,
    discount_cents integer NOT NULL,
    state character varying(8) NOT NULL,
    refunded_at timestamp with time zone,
    CONSTRAINT coupons_redemption_discount_cents_check CHECK ((discount_cents >= 0))
);
ALTER TABLE public.coupons_redemption ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.coupons_redemption_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.delivery_slot (
    available bigint NOT NULL,
    held bigint NOT NULL,
    sold bigint NOT NULL,
    id bigint NOT NULL,
    starts_at timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    active boolean DEFAULT true NOT NULL,
    CONSTRAINT delivery_slot_available_ge_0 CHECK ((available >= 0)),
    CONSTRAINT delivery_slot_ends_after_start CHECK ((ends_at > starts_at)),
    CONSTRAINT delivery_slot_held_ge_0 CHECK ((held >= 0)),
    CONSTRAINT delivery_slot_in_range CHECK (((ends_at < '2100-01-01 00:00:00+00'::timestamp with time zone) AND (starts_at >= '2000-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT delivery_slot_sold_ge_0 CHECK ((sold >= 0))
);
ALTER TABLE public.delivery_slot ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.delivery_slot_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.delivery_slothold (
    id bigint NOT NULL,
    run_id uuid NOT NULL,
    step character varying(48) NOT NULL,
    pool_key character varying(64) NOT NULL,
    quantity integer NOT NULL,
    state character varying(9) NOT NULL,
    CONSTRAINT delivery_slothold_quantity_check CHECK ((quantity >= 0))
);
ALTER TABLE public.delivery_slothold ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.delivery_slothold_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.django_admin_log (
    id integer NOT NULL,
    action_time timestamp with time zone NOT NULL,
    object_id text,
    object_repr character varying(200) NOT NULL,
    action_flag smallint NOT NULL,
    change_message text NOT NULL,
    content_type_id integer,
    user_id integer NOT NULL,
    CONSTRAINT django_admin_log_action_flag_check CHECK ((action_flag >= 0))
);
ALTER TABLE public.django_admin_log ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.django_admin_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.django_content_type (
    id integer NOT NULL,
    app_label character varying(100) NOT NULL,
    model character varying(100) NOT NULL
);
ALTER TABLE public.django_content_type ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.django_content_type_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.django_migrations (
    id bigint NOT NULL,
    app character varying(255) NOT NULL,
    name character varying(255) NOT NULL,
    applied timestamp with time zone NOT NULL
);
ALTER TABLE public.django_migrations ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.django_migrations_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.django_session (
    session_key character varying(40) NOT NULL,
    session_data text NOT NULL,
    expire_date timestamp with time zone NOT NULL
);
CREATE TABLE public.inventory_sku (
    available bigint NOT NULL,
    held bigint NOT NULL,
    sold bigint NOT NULL,
    code character varying(32) NOT NULL,
    name character varying(100) NOT NULL,
    price_cents integer NOT NULL,
    active boolean NOT NULL,
    CONSTRAINT inventory_sku_available_ge_0 CHECK ((available >= 0)),
    CONSTRAINT inventory_sku_held_ge_0 CHECK ((held >= 0)),
    CONSTRAINT inventory_sku_price_cents_check CHECK ((price_cents >= 0)),
    CONSTRAINT inventory_sku_sold_ge_0 CHECK ((sold >= 0))
);
CREATE TABLE public.inventory_skuhold (
    id bigint NOT NULL,
    run_id uuid NOT NULL,
    step character varying(48) NOT NULL,
    pool_key character varying(64) NOT NULL,
    quantity integer NOT NULL,
    state character varying(9) NOT NULL,
    CONSTRAINT inventory_skuhold_quantity_check CHECK ((quantity >= 0))
);
ALTER TABLE public.inventory_skuhold ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.inventory_skuhold_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.knox_authtoken (
    digest character varying(128) NOT NULL,
    created timestamp with time zone NOT NULL,
    user_id integer NOT NULL,
    expiry timestamp with time zone,
    token_key character varying(25) NOT NULL
);
CREATE TABLE public.orders_idempotencykey (
    id bigint NOT NULL,
    key character varying(255) NOT NULL,
    fingerprint character varying(64) NOT NULL,
    status smallint NOT NULL,
    body text NOT NULL,
    location character varying(200) NOT NULL,
    created_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    customer_id integer NOT NULL,
    CONSTRAINT orders_idempotencykey_status_check CHECK ((status >= 0))
);
ALTER TABLE public.orders_idempotencykey ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.orders_idempotencykey_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.orders_order (
    id bigint NOT NULL,
    order_no character varying(32) NOT NULL,
    run_id uuid NOT NULL,
    status character varying(9) NOT NULL,
    slot bigint NOT NULL,
    coupon character varying(32),
    discount_cents integer NOT NULL,
    total_cents bigint,
    created_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    customer_id integer NOT NULL,
    address inet,
    CONSTRAINT orders_order_discount_cents_check CHECK ((discount_cents >= 0)),
    CONSTRAINT orders_order_placed_has_total CHECK ((((status)::text = ANY ((ARRAY['RECEIVED'::character varying, 'REJECTED'::character varying])::text[])) OR (total_cents IS NOT NULL))),
    CONSTRAINT orders_order_total_cents_check CHECK ((total_cents >= 0))
);
ALTER TABLE public.orders_order ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.orders_order_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.orders_orderline (
    id bigint NOT NULL,
    sku character varying(32) NOT NULL,
    quantity integer NOT NULL,
    unit_price_cents integer NOT NULL,
    order_id bigint NOT NULL,
    CONSTRAINT orders_orderline_quantity_check CHECK ((quantity >= 0)),
    CONSTRAINT orders_orderline_unit_price_cents_check CHECK ((unit_price_cents >= 0))
);
ALTER TABLE public.orders_orderline ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.orders_orderline_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.otp_static_staticdevice (
    id integer NOT NULL,
    name character varying(64) NOT NULL,
    confirmed boolean NOT NULL,
    user_id integer NOT NULL,
    throttling_failure_count integer NOT NULL,
    throttling_failure_timestamp timestamp with time zone,
    created_at timestamp with time zone,
    last_used_at timestamp with time zone,
    CONSTRAINT otp_static_staticdevice_throttling_failure_count_check CHECK ((throttling_failure_count >= 0))
);
ALTER TABLE public.otp_static_staticdevice ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.otp_static_staticdevice_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.otp_static_statictoken (
    id integer NOT NULL,
    token character varying(16) NOT NULL,
    device_id integer NOT NULL
);
ALTER TABLE public.otp_static_statictoken ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.otp_static_statictoken_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.otp_totp_totpdevice (
    id integer NOT NULL,
    name character varying(64) NOT NULL,
    confirmed boolean NOT NULL,
    key character varying(80) NOT NULL,
    step smallint NOT NULL,
    t0 bigint NOT NULL,
    digits smallint NOT NULL,
    tolerance smallint NOT NULL,
    drift smallint NOT NULL,
    last_t bigint NOT NULL,
    user_id integer NOT NULL,
    throttling_failure_count integer NOT NULL,
    throttling_failure_timestamp timestamp with time zone,
    created_at timestamp with time zone,
    last_used_at timestamp with time zone,
    CONSTRAINT otp_totp_totpdevice_digits_check CHECK ((digits >= 0)),
    CONSTRAINT otp_totp_totpdevice_step_check CHECK ((step >= 0)),
    CONSTRAINT otp_totp_totpdevice_throttling_failure_count_check CHECK ((throttling_failure_count >= 0)),
    CONSTRAINT otp_totp_totpdevice_tolerance_check CHECK ((tolerance >= 0))
);
ALTER TABLE public.otp_totp_totpdevice ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.otp_totp_totpdevice_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.payments_payment (
    id bigint NOT NULL,
    payment_id character varying(100) NOT NULL,
    order_no character varying(32) NOT NULL,
    run_id uuid,
    amount bigint NOT NULL,
    currency character varying(3) NOT NULL,
    state character varying(9) NOT NULL,
    reason character varying(16) NOT NULL,
    return_run_id uuid,
    received_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    returned_at timestamp with time zone,
    CONSTRAINT payments_payment_amount_check CHECK ((amount >= 0)),
    CONSTRAINT payments_payment_due_back_has_run CHECK (((NOT ((state)::text = ANY ((ARRAY['DUE_BACK'::character varying, 'RETURNING'::character varying, 'CONFLICT'::character varying])::text[]))) OR ((return_run_id IS NOT NULL) AND (NOT ((reason)::text = ''::text))))),
    CONSTRAINT payments_payment_taken_has_run CHECK (((NOT ((state)::text = 'TAKEN'::text)) OR (run_id IS NOT NULL)))
);
ALTER TABLE public.payments_payment ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.payments_payment_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.payments_paymentevent (
    id bigint NOT NULL,
    webhook_id character varying(255) NOT NULL,
    digest character varying(64) NOT NULL,
    order_no character varying(32) NOT NULL,
    payment_id character varying(100) NOT NULL,
    amount bigint NOT NULL,
    currency character varying(3) NOT NULL,
    status character varying(32) NOT NULL,
    outcome character varying(16) NOT NULL,
    body text NOT NULL,
    received_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL
);
ALTER TABLE public.payments_paymentevent ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.payments_paymentevent_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.sagas_breaker (
    participant character varying(150) NOT NULL,
    step character varying(48) NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    probe_at timestamp with time zone NOT NULL,
    probe_run uuid,
    probe_operation character varying(16) NOT NULL,
    failed integer NOT NULL,
    retried integer NOT NULL,
    CONSTRAINT sagas_breaker_failed_check CHECK ((failed >= 0)),
    CONSTRAINT sagas_breaker_retried_check CHECK ((retried >= 0))
);
CREATE TABLE public.sagas_breakersample (
    id bigint NOT NULL,
    participant character varying(150) NOT NULL,
    at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    succeeded integer NOT NULL,
    failed integer NOT NULL,
    CONSTRAINT sagas_breakersample_failed_check CHECK ((failed >= 0)),
    CONSTRAINT sagas_breakersample_succeeded_check CHECK ((succeeded >= 0))
);
ALTER TABLE public.sagas_breakersample ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.sagas_breakersample_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.sagas_confirmation (
    id bigint NOT NULL,
    run_id uuid NOT NULL,
    name character varying(48) NOT NULL,
    data jsonb NOT NULL,
    received_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL
);
ALTER TABLE public.sagas_confirmation ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.sagas_confirmation_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.sagas_definition (
    id bigint NOT NULL,
    saga character varying(100) NOT NULL,
    version smallint NOT NULL,
    shape integer NOT NULL,
    body jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    CONSTRAINT sagas_definition_version_check CHECK ((version >= 0))
);
ALTER TABLE public.sagas_definition ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.sagas_definition_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.sagas_escalation (
    id bigint NOT NULL,
    state character varying(16) NOT NULL,
    step character varying(48) NOT NULL,
    operation character varying(16) NOT NULL,
    error jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    resolved_at timestamp with time zone,
    resolution character varying(16) NOT NULL,
    resolved_by character varying(150) NOT NULL,
    note text NOT NULL,
    run_id uuid NOT NULL,
    suggestion text DEFAULT ''::text NOT NULL,
    assignee character varying(150) DEFAULT ''::character varying NOT NULL,
    acknowledged_at timestamp with time zone,
    acknowledged_by character varying(150) DEFAULT ''::character varying NOT NULL,
    notify_at timestamp with time zone DEFAULT statement_timestamp(),
    notices integer DEFAULT 0 NOT NULL,
    sent integer DEFAULT 0 NOT NULL,
    CONSTRAINT sagas_escalation_is_told CHECK ((((acknowledged_at IS NULL) AND (notify_at IS NOT NULL) AND (resolved_at IS NULL)) OR ((notify_at IS NULL) AND ((resolved_at IS NOT NULL) OR (acknowledged_at IS NOT NULL))))),
    CONSTRAINT sagas_escalation_notices_check CHECK ((notices >= 0)),
    CONSTRAINT sagas_escalation_of_live CHECK (((state)::text = ANY ((ARRAY['AWAITING_CONFIRM'::character varying, 'COMPENSATING'::character varying, 'CONFIRMING'::character varying, 'EXECUTING'::character varying, 'PENDING'::character varying])::text[]))),
    CONSTRAINT sagas_escalation_sent_check CHECK ((sent >= 0))
);
ALTER TABLE public.sagas_escalation ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.sagas_escalation_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.sagas_inbox (
    consumer character varying(48) NOT NULL,
    event_id character varying(100) NOT NULL,
    received_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL
);
CREATE TABLE public.sagas_lock (
    id bigint NOT NULL,
    key character varying(128) NOT NULL,
    run_id uuid NOT NULL,
    family uuid NOT NULL,
    ticket bigint NOT NULL,
    since timestamp with time zone DEFAULT statement_timestamp() NOT NULL
);
ALTER TABLE public.sagas_lock ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.sagas_lock_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.sagas_log (
    id bigint NOT NULL,
    run_id uuid NOT NULL,
    step character varying(48) NOT NULL,
    operation character varying(16) NOT NULL,
    outcome character varying(8) NOT NULL,
    attempt smallint NOT NULL,
    at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    duration_us integer NOT NULL,
    worker character varying(100) NOT NULL,
    trace_id uuid NOT NULL,
    compensate character varying(200) NOT NULL,
    data jsonb,
    CONSTRAINT sagas_log_attempt_check CHECK ((attempt >= 0)),
    CONSTRAINT sagas_log_duration_us_check CHECK ((duration_us >= 0))
);
ALTER TABLE public.sagas_log ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.sagas_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.sagas_outbox (
    run_id uuid NOT NULL,
    "position" integer NOT NULL,
    name character varying(120) NOT NULL,
    saga character varying(100) NOT NULL,
    version smallint NOT NULL,
    step character varying(48) NOT NULL,
    business_key character varying(64) NOT NULL,
    trace_id uuid NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    data jsonb,
    attempt smallint NOT NULL,
    due_at timestamp with time zone NOT NULL,
    CONSTRAINT sagas_outbox_attempt_check CHECK ((attempt >= 0)),
    CONSTRAINT sagas_outbox_position_check CHECK (("position" >= 0)),
    CONSTRAINT sagas_outbox_version_check CHECK ((version >= 0))
);
CREATE TABLE public.sagas_run (
    id uuid NOT NULL,
    saga character varying(100) NOT NULL,
    version smallint NOT NULL,
    state character varying(16) NOT NULL,
    cursor smallint NOT NULL,
    attempt smallint NOT NULL,
    claims smallint NOT NULL,
    business_key character varying(64) NOT NULL,
    request jsonb NOT NULL,
    results jsonb NOT NULL,
    reason jsonb,
    trace_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT statement_timestamp() NOT NULL,
    started_at timestamp with time zone,
    deadline timestamp with time zone,
    due_at timestamp with time zone,
    finished_at timestamp with time zone,
    fork bigint DEFAULT 0 NOT NULL,
    parent_id uuid,
    parent_step character varying(48),
    pending jsonb,
    events integer,
    locked boolean DEFAULT false NOT NULL,
    shape integer DEFAULT 0 NOT NULL,
    held_until timestamp with time zone,
    CONSTRAINT sagas_run_attempt_check CHECK ((attempt >= 0)),
    CONSTRAINT sagas_run_claims_check CHECK ((claims >= 0)),
    CONSTRAINT sagas_run_cursor_check CHECK ((cursor >= 0)),
    CONSTRAINT sagas_run_events_check CHECK ((events >= 0)),
    CONSTRAINT sagas_run_live_is_due CHECK ((((due_at IS NOT NULL) AND ((state)::text = ANY ((ARRAY['AWAITING_CONFIRM'::character varying, 'COMPENSATING'::character varying, 'CONFIRMING'::character varying, 'EXECUTING'::character varying, 'PENDING'::character varying])::text[]))) OR ((NOT ((state)::text = ANY ((ARRAY['AWAITING_CONFIRM'::character varying, 'COMPENSATING'::character varying, 'CONFIRMING'::character varying, 'EXECUTING'::character varying, 'PENDING'::character varying])::text[]))) AND (due_at IS NULL)))),
    CONSTRAINT sagas_run_version_check CHECK ((version >= 0))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.05');
CREATE TABLE public.sagas_worker (
    name character varying(100) NOT NULL,
    beat_at timestamp with time zone NOT NULL,
    ticked_at timestamp with time zone,
    delivered_at timestamp with time zone,
    busy integer NOT NULL,
    busy_since timestamp with time zone,
    queues text NOT NULL,
    CONSTRAINT sagas_worker_busy_check CHECK ((busy >= 0))
);
CREATE TABLE public.upgrade_effect (
    run_id uuid NOT NULL,
    name text NOT NULL
);
CREATE TABLE public.upgrade_made (
    at timestamp with time zone NOT NULL
);
INSERT INTO public.auth_user VALUES
	(1, '', NULL, false, 'lin', '', '', '', false, true, '2026-11-30 02:12:35.248304+00');
INSERT INTO public.coupons_coupon VALUES
	('order begun', 500, '2027-09-27 02:12:35.248147+00', false, 1, true),
	('order waiting', 500, '2027-09-27 02:12:35.248147+00', true, 1, true),
	('order undoing', 500, '2027-09-27 02:12:35.248147+00', true, 1, true),
	('order confirming', 500, '2027-09-27 02:12:35.248147+00', true, 1, true);
INSERT INTO public.coupons_redemption VALUES
	(1, '01a22a39-f9b1-76fb-82d1-d5f63c2e5070', 'apply_coupon', 'order waiting', 500, 'REDEEMED', NULL),
	(2, '01a22a39-fc28-7442-8fde-71e14214a2db', 'apply_coupon', 'order undoing', 500, 'REDEEMED', NULL),
	(3, '01a22a39-fe74-7521-be21-f428cf5215c8', 'apply_coupon', 'order confirming', 500, 'REDEEMED', NULL);
INSERT INTO public.delivery_slot VALUES
	(98, 2, 0, 1, '2026-12-01 02:12:35.248147+00', '2026-12-01 04:12:35.248147+00', true);
INSERT INTO public.delivery_slothold VALUES
	(1, '01a22a39-f9b1-76fb-82d1-d5f63c2e5070', 'schedule_delivery', '1', 1, 'HELD'),
	(3, '01a22a39-fe74-7521-be21-f428cf5215c8', 'schedule_delivery', '1', 1, 'HELD'),
	(2, '01a22a39-fc28-7442-8fde-71e14214a2db', 'schedule_delivery', '1', 1, 'CANCELLED');
INSERT INTO public.django_migrations VALUES
	(1, 'contenttypes', '0001_initial', '2026-11-30 02:12:29.332865+00'),
	(2, 'auth', '0001_initial', '2026-11-30 02:12:29.43635+00'),
	(3, 'admin', '0001_initial', '2026-11-30 02:12:29.464322+00'),
	(4, 'admin', '0002_logentry_remove_auto_add', '2026-11-30 02:12:29.473638+00'),
	(5, 'admin', '0003_logentry_add_action_flag_choices', '2026-11-30 02:12:29.49093+00'),
	(6, 'contenttypes', '0002_remove_content_type_name', '2026-11-30 02:12:29.524901+00'),
	(7, 'auth', '0002_alter_permission_name_max_length', '2026-11-30 02:12:29.536147+00'),
	(8, 'auth', '0003_alter_user_email_max_length', '2026-11-30 02:12:29.554449+00'),
	(9, 'auth', '0004_alter_user_username_opts', '2026-11-30 02:12:29.568545+00'),
	(10, 'auth', '0005_alter_user_last_login_null', '2026-11-30 02:12:29.58112+00'),
	(11, 'auth', '0006_require_contenttypes_0002', '2026-11-30 02:12:29.587388+00'),
	(12, 'auth', '0007_alter_validators_add_error_messages', '2026-11-30 02:12:29.599859+00'),
	(13, 'auth', '0008_alter_user_username_max_length', '2026-11-30 02:12:29.614103+00'),
	(14, 'auth', '0009_alter_user_last_name_max_length', '2026-11-30 02:12:29.629472+00'),
	(15, 'auth', '0010_alter_group_name_max_length', '2026-11-30 02:12:29.64412+00'),
	(16, 'auth', '0011_update_proxy_permissions', '2026-11-30 02:12:29.663527+00'),
	(17, 'auth', '0012_alter_user_first_name_max_length', '2026-11-30 02:12:29.687188+00'),
	(18, 'axes', '0001_initial', '2026-11-30 02:12:29.715194+00'),
	(19, 'axes', '0002_auto_20151217_2044', '2026-11-30 02:12:29.767367+00'),
	(20, 'axes', '0003_auto_20160322_0929', '2026-11-30 02:12:29.785484+00'),
	(21, 'axes', '0004_auto_20181024_1538', '2026-11-30 02:12:29.808976+00'),
	(22, 'axes', '0005_remove_accessattempt_trusted', '2026-11-30 02:12:29.819541+00'),
	(23, 'axes', '0006_remove_accesslog_trusted', '2026-11-30 02:12:29.839832+00'),
	(24, 'axes', '0007_alter_accessattempt_unique_together', '2026-11-30 02:12:29.879451+00'),
	(25, 'axes', '0008_accessfailurelog', '2026-11-30 02:12:29.915397+00'),
	(26, 'axes', '0009_add_session_hash', '2026-11-30 02:12:29.924266+00'),
	(27, 'axes', '0010_accessattemptexpiration', '2026-11-30 02:12:29.936276+00'),
	(28, 'coupons', '0001_initial', '2026-11-30 02:12:29.987527+00'),
	(29, 'coupons', '0002_in_use', '2026-11-30 02:12:30.017826+00'),
	(30, 'delivery', '0001_initial', '2026-11-30 02:12:30.047623+00'),
	(31, 'delivery', '0002_in_use', '2026-11-30 02:12:30.062163+00'),
	(32, 'inventory', '0001_initial', '2026-11-30 02:12:30.095374+00'),
	(33, 'inventory', '0002_in_use', '2026-11-30 02:12:30.102158+00'),
	(34, 'knox', '0001_initial', '2026-11-30 02:12:30.127114+00'),
	(35, 'knox', '0002_auto_20150916_1425', '2026-11-30 02:12:30.176515+00'),
	(36, 'knox', '0003_auto_20150916_1526', '2026-11-30 02:12:30.191697+00'),
	(37, 'knox', '0004_authtoken_expires', '2026-11-30 02:12:30.215909+00'),
	(38, 'knox', '0005_authtoken_token_key', '2026-11-30 02:12:30.240155+00'),
	(39, 'knox', '0006_auto_20160818_0932', '2026-11-30 02:12:30.29992+00'),
	(40, 'knox', '0007_auto_20190111_0542', '2026-11-30 02:12:30.312484+00'),
	(41, 'knox', '0008_remove_authtoken_salt', '2026-11-30 02:12:30.323294+00'),
	(42, 'knox', '0009_extend_authtoken_field', '2026-11-30 02:12:30.380077+00'),
	(43, 'orders', '0001_initial', '2026-11-30 02:12:30.621975+00'),
	(44, 'orders', '0002_idempotencykey_age', '2026-11-30 02:12:30.660032+00'),
	(45, 'orders', '0003_total_at_acceptance', '2026-11-30 02:12:30.68661+00'),
	(46, 'orders', '0004_open_orders', '2026-11-30 02:12:30.77934+00'),
	(47, 'otp_static', '0001_initial', '2026-11-30 02:12:30.863404+00'),
	(48, 'otp_static', '0002_throttling', '2026-11-30 02:12:30.907361+00'),
	(49, 'otp_static', '0003_add_timestamps', '2026-11-30 02:12:31.051284+00'),
	(50, 'otp_totp', '0001_initial', '2026-11-30 02:12:31.085028+00');
INSERT INTO public.django_migrations VALUES
	(51, 'otp_totp', '0002_auto_20190420_0723', '2026-11-30 02:12:31.126656+00'),
	(52, 'otp_totp', '0003_add_timestamps', '2026-11-30 02:12:31.171141+00'),
	(53, 'payments', '0001_initial', '2026-11-30 02:12:31.220679+00'),
	(54, 'payments', '0002_guards', '2026-11-30 02:12:31.224665+00'),
	(55, 'sagas', '0001_initial', '2026-11-30 02:12:31.351409+00'),
	(56, 'sagas', '0002_guards', '2026-11-30 02:12:31.357516+00'),
	(57, 'sagas', '0003_escalation', '2026-11-30 02:12:31.461785+00'),
	(58, 'sagas', '0004_branches', '2026-11-30 02:12:31.493707+00'),
	(59, 'sagas', '0005_outbox', '2026-11-30 02:12:31.519249+00'),
	(60, 'sagas', '0006_locks', '2026-11-30 02:12:31.549621+00'),
	(61, 'sagas', '0007_intent', '2026-11-30 02:12:31.564587+00'),
	(62, 'sagas', '0008_data', '2026-11-30 02:12:31.596354+00'),
	(63, 'sagas', '0009_barrier', '2026-11-30 02:12:31.601869+00'),
	(64, 'sagas', '0010_integrity', '2026-11-30 02:12:31.619966+00'),
	(65, 'sagas', '0011_workers', '2026-11-30 02:12:31.639964+00'),
	(66, 'sagas', '0012_resolved', '2026-11-30 02:12:31.645848+00'),
	(67, 'sagas', '0013_read_committed', '2026-11-30 02:12:31.65656+00'),
	(68, 'sagas', '0014_held', '2026-11-30 02:12:31.668074+00'),
	(69, 'sessions', '0001_initial', '2026-11-30 02:12:31.691427+00');
INSERT INTO public.inventory_sku VALUES
	(92, 8, 0, 'TEA', 'Tea', 1500, true);
INSERT INTO public.inventory_skuhold VALUES
	(1, '01a22a39-f7a7-7413-8967-8d40c5c3f906', 'reserve_inventory', 'TEA', 2, 'HELD'),
	(2, '01a22a39-f9b1-76fb-82d1-d5f63c2e5070', 'reserve_inventory', 'TEA', 2, 'HELD'),
	(3, '01a22a39-fc28-7442-8fde-71e14214a2db', 'reserve_inventory', 'TEA', 2, 'HELD'),
	(4, '01a22a39-fe74-7521-be21-f428cf5215c8', 'reserve_inventory', 'TEA', 2, 'HELD');
INSERT INTO public.orders_order VALUES
	(1, 'order begun', '01a22a39-f7a7-7413-8967-8d40c5c3f906', 'PLACED', 1, 'order begun', 500, 2500, '2026-11-30 02:12:51.759064+00', 1, NULL),
	(2, 'order waiting', '01a22a39-f9b1-76fb-82d1-d5f63c2e5070', 'PLACED', 1, 'order waiting', 500, 2500, '2026-11-30 02:12:52.280119+00', 1, NULL),
	(3, 'order undoing', '01a22a39-fc28-7442-8fde-71e14214a2db', 'PLACED', 1, 'order undoing', 500, 2500, '2026-11-30 02:12:52.911543+00', 1, NULL),
	(4, 'order confirming', '01a22a39-fe74-7521-be21-f428cf5215c8', 'CONFIRMED', 1, 'order confirming', 500, 2500, '2026-11-30 02:12:53.495313+00', 1, NULL);
INSERT INTO public.orders_orderline VALUES
	(1, 'TEA', 2, 1500, 1),
	(2, 'TEA', 2, 1500, 2),
	(3, 'TEA', 2, 1500, 3),
	(4, 'TEA', 2, 1500, 4);
INSERT INTO public.sagas_breaker VALUES
	('upgrade.Breaking.one', 'one', '2026-11-30 02:12:56.848234+00', NULL, '2026-11-30 02:13:26.848234+00', NULL, '', 6, 6);
INSERT INTO public.sagas_breakersample VALUES
	(1, 'upgrade.Order.one', '2026-11-30 02:12:40.058453+00', 0, 1),
	(2, 'upgrade.Order.one', '2026-11-30 02:12:40.232693+00', 0, 1),
	(3, 'upgrade.Order.one', '2026-11-30 02:12:40.383128+00', 0, 1),
	(4, 'upgrade.Order.one', '2026-11-30 02:12:40.530176+00', 0, 1),
	(5, 'upgrade.Order.two', '2026-11-30 02:12:41.286953+00', 0, 1),
	(6, 'upgrade.Order.two', '2026-11-30 02:12:41.361544+00', 0, 1),
	(7, 'upgrade.Order.two', '2026-11-30 02:12:41.579101+00', 0, 1),
	(8, 'upgrade.Order.two', '2026-11-30 02:12:41.884175+00', 0, 1),
	(9, 'upgrade.Order.three', '2026-11-30 02:12:43.063103+00', 0, 1),
	(10, 'upgrade.Order.three', '2026-11-30 02:12:43.314352+00', 0, 1),
	(11, 'upgrade.Order.three', '2026-11-30 02:12:43.614238+00', 0, 1),
	(12, 'upgrade.Order.three', '2026-11-30 02:12:43.868274+00', 0, 1),
	(13, 'upgrade.Breaking.one', '2026-11-30 02:12:56.576426+00', 0, 3),
	(14, 'upgrade.Breaking.one', '2026-11-30 02:12:56.847261+00', 0, 3);
INSERT INTO public.sagas_confirmation VALUES
	(1, '01a22a39-bb63-76b8-b371-d7f6deeb76ac', 'approval', '{"by": "mei"}', '2026-11-30 02:12:36.600432+00'),
	(2, '01a22a39-bc7a-75da-91e9-24993cddfa11', 'approval', '{"by": "mei"}', '2026-11-30 02:12:37.089454+00'),
	(3, '01a22a39-bc7a-75da-91e9-24993cddfa11', 'payment', '{"by": "mei"}', '2026-11-30 02:12:37.096151+00'),
	(4, '01a22a39-c23a-7720-a67a-88b645f98a4c', 'payment', '{"payment_id": "P-1"}', '2026-11-30 02:12:38.085845+00'),
	(5, '01a22a39-c348-773c-9850-8c3621ec112c', 'approval', '{"by": "mei"}', '2026-11-30 02:12:38.567903+00'),
	(6, '01a22a39-c348-773c-9850-8c3621ec112c', 'payment', '{"by": "mei"}', '2026-11-30 02:12:38.578891+00'),
	(7, '01a22a39-c876-7579-8ee4-fa05e3275270', 'approval', '{"by": "mei"}', '2026-11-30 02:12:39.878844+00'),
	(8, '01a22a39-c876-7579-8ee4-fa05e3275270', 'payment', '{"by": "mei"}', '2026-11-30 02:12:39.883879+00'),
	(9, '01a22a39-f00c-7288-88d9-0de6756884d6', 'approval', '{"by": "mei"}', '2026-11-30 02:12:50.728768+00'),
	(10, '01a22a39-fe74-7521-be21-f428cf5215c8', 'payment', '{"payment_id": "P-2"}', '2026-11-30 02:12:54.295225+00'),
	(11, '01a22a3a-02fb-71bf-b285-4fef26b1b3f2', 'approval', '{"by": "mei"}', '2026-11-30 02:12:54.863484+00'),
	(12, '01a22a3a-0430-7339-b999-9f1405a80454', 'approval', '{"by": "mei"}', '2026-11-30 02:12:55.350303+00'),
	(13, '01a22a3a-06cf-7077-b98d-96c0950251a6', 'approval', '{"by": "mei"}', '2026-11-30 02:12:55.94907+00'),
	(14, '01a22a3a-0bee-76ab-9104-225cab785a3e', 'approval', '{}', '2026-11-30 02:12:57.230707+00'),
	(15, '01a22a3a-112d-7110-b527-84e7ccf36c1c', 'approval', '{}', '2026-11-30 02:13:00.523447+00'),
	(16, '01a22a3a-112d-7110-b527-84e7ccf36c1c', 'payment', '{}', '2026-11-30 02:13:00.546489+00');
INSERT INTO public.sagas_definition VALUES
	(1, 'lab.AskedChild', 1, -304745169, '{"forks": [], "pivot": 1, "steps": [{"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 02:12:35.259936+00'),
	(2, 'lab.AskedGuardian', 1, -531668263, '{"forks": [], "pivot": 1, "steps": [{"name": "child", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.260197+00'),
	(3, 'lab.Carry', 1, -2135574, '{"forks": [], "pivot": 3, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "receipt", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 02:12:35.260205+00'),
	(4, 'lab.Charged', 1, -1279657547, '{"forks": [], "pivot": 2, "steps": [{"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "two", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.260212+00'),
	(5, 'lab.Child', 1, -1004033665, '{"forks": [], "pivot": 2, "steps": [{"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.260216+00'),
	(6, 'lab.Closing', 1, 1060578037, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": {"name": "approval", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate"}}, "within": null, "personal": []}, {"name": "payment", "refund": {"name": "payment", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate"}}, "within": 60.0, "personal": []}]}', '2026-11-30 02:12:35.26022+00'),
	(7, 'lab.Forked', 1, 1026997996, '{"forks": [[1, 4]], "pivot": 5, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "left", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "right", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": {"name": "approval", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate"}}, "within": 30.0, "personal": []}]}', '2026-11-30 02:12:35.260223+00'),
	(8, 'lab.Guardian', 1, 1280013004, '{"forks": [], "pivot": 4, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "child", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "four", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "five", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.260227+00'),
	(9, 'lab.Hopeless', 1, -74444619, '{"forks": [], "pivot": 4, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "charge", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.260231+00'),
	(10, 'lab.Host', 1, -380327540, '{"forks": [], "pivot": 3, "steps": [{"name": "greet", "queue": "orders", "database": "", "personal": [["card", "holder"]], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "note", "queue": "coupons", "database": "", "personal": [[]], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "seat", "queue": "delivery", "database": "", "personal": [["card", "holder"]], "elsewhere": false, "operations": {"forward": "forward"}}], "personal": [["guests", "*", "name"], ["phone"]], "confirmations": [{"name": "payment", "refund": null, "within": 30.0, "personal": [["payer", "name"]]}]}', '2026-11-30 02:12:35.260235+00'),
	(11, 'lab.Hurried', 1, 87730852, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.260238+00'),
	(12, 'lab.Impatient', 1, -975621029, '{"forks": [], "pivot": 1, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 02:12:35.260329+00'),
	(13, 'lab.Keyed', 1, 87730852, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.260333+00'),
	(14, 'lab.KeyedParent', 1, 1179375530, '{"forks": [[0, 2]], "pivot": 2, "steps": [{"name": "left", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "right", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 02:12:35.260337+00'),
	(15, 'lab.KeyedTillApproved', 1, 1563087132, '{"forks": [], "pivot": 1, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 02:12:35.260341+00'),
	(16, 'lab.Lab', 1, -2031345948, '{"forks": [], "pivot": 4, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 02:12:35.260344+00'),
	(17, 'lab.Labelled', 1, 1004881783, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.260348+00'),
	(18, 'lab.Parent', 1, 379627295, '{"forks": [[1, 3]], "pivot": 4, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "child", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "asked", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "payment", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 02:12:35.260351+00'),
	(19, 'lab.Party', 1, -1711781854, '{"forks": [], "pivot": 4, "steps": [{"name": "greet", "queue": "orders", "database": "", "personal": [["card", "holder"]], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "note", "queue": "coupons", "database": "", "personal": [[]], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "ride", "queue": "delivery", "database": "", "personal": [["results", "greet", "card", "holder"]], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "wish", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}], "personal": [["guests", "*", "name"], ["phone"]], "confirmations": [{"name": "payment", "refund": {"name": "payment", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate"}}, "within": 30.0, "personal": [["payer", "name"]]}]}', '2026-11-30 02:12:35.260355+00'),
	(20, 'lab.Pivoted', 1, -457705398, '{"forks": [[3, 5]], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "left", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "right", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 02:12:35.260359+00'),
	(44, 'upgrade.Forked', 1, 1602210023, '{"forks": [[1, 3]], "pivot": 4, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "left", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "right", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "four", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [["customer"]], "confirmations": []}', '2026-11-30 02:12:35.260476+00'),
	(21, 'lab.Promised', 1, 271114077, '{"forks": [[1, 3]], "pivot": 4, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "held", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "left", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 02:12:35.260362+00'),
	(22, 'lab.Reported', 1, -53835403, '{"forks": [[2, 4]], "pivot": 5, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "left", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "four", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.26038+00'),
	(23, 'lab.Rewarded', 1, 345839794, '{"forks": [], "pivot": 3, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "debit", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.260384+00'),
	(24, 'lab.Ride', 1, -963276170, '{"forks": [], "pivot": 1, "steps": [{"name": "greet", "queue": "orders", "database": "", "personal": [["card", "holder"]], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [["guests", "*", "name"], ["phone"]], "confirmations": []}', '2026-11-30 02:12:35.260387+00'),
	(25, 'lab.ShortLab', 1, 1904378707, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 1.5, "personal": []}]}', '2026-11-30 02:12:35.260391+00'),
	(26, 'lab.Telling', 1, 1983981639, '{"forks": [], "pivot": 3, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 02:12:35.260394+00'),
	(27, 'lab.Told', 1, 463704053, '{"forks": [], "pivot": 1, "steps": [{"name": "debit", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.260397+00'),
	(28, 'lab.Twice', 1, 1004704930, '{"forks": [], "pivot": 1, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}, {"name": "payment", "refund": null, "within": 60.0, "personal": []}]}', '2026-11-30 02:12:35.2604+00'),
	(29, 'lab.Unconfirmed', 1, 87730852, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.260403+00'),
	(30, 'lab.Ward', 1, 2122214401, '{"forks": [], "pivot": 2, "steps": [{"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "three", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.260407+00'),
	(31, 'loyalty.Afar', 1, -565680888, '{"forks": [], "pivot": 5, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "four", "queue": "delivery", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "five", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 02:12:35.26041+00'),
	(45, 'upgrade.Keyed', 1, -975621029, '{"forks": [], "pivot": 1, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [["customer"]], "confirmations": [{"name": "approval", "refund": null, "within": 3600.0, "personal": []}]}', '2026-11-30 02:12:35.260479+00'),
	(32, 'loyalty.AfarForked', 1, -966657802, '{"forks": [[1, 5]], "pivot": 6, "steps": [{"name": "one", "queue": "orders", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "jar", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "left", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.260414+00'),
	(33, 'loyalty.AfarPatient', 1, -1013559398, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.260431+00'),
	(34, 'loyalty.AfarReported', 1, 706281749, '{"forks": [], "pivot": 1, "steps": [{"name": "one", "queue": "orders", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.260435+00'),
	(35, 'loyalty.Astray', 1, 1747861883, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "orders", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.260439+00'),
	(36, 'loyalty.Membership', 1, 406764168, '{"forks": [], "pivot": 2, "steps": [{"name": "enrolled", "queue": "orders", "database": "loyalty", "personal": [["card", "holder"]], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "welcomed", "queue": "orders", "database": "loyalty", "personal": [["card", "holder"]], "elsewhere": true, "operations": {"forward": "forward"}}], "personal": [["guests", "*", "name"], ["phone"]], "confirmations": []}', '2026-11-30 02:12:35.260442+00'),
	(37, 'loyalty.Tied', 1, 261221133, '{"forks": [], "pivot": 1, "steps": [{"name": "one", "queue": "orders", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.26045+00'),
	(38, 'orders.PlaceOrder', 1, -280494947, '{"forks": [], "pivot": 4, "steps": [{"name": "create_order", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "reserve_inventory", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "apply_coupon", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "schedule_delivery", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}], "personal": [], "confirmations": [{"name": "payment", "refund": {"name": "payment", "queue": "payments", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate"}}, "within": 3600.0, "personal": []}]}', '2026-11-30 02:12:35.260453+00'),
	(39, 'payments.ReturnPayment', 1, 1403205034, '{"forks": [], "pivot": 1, "steps": [{"name": "begin", "queue": "payments", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "return_money", "queue": "payments", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 02:12:35.260457+00'),
	(40, 'upgrade.Afar', 1, 479906821, '{"forks": [], "pivot": 3, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "three", "queue": "delivery", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [["customer"]], "confirmations": [{"name": "approval", "refund": null, "within": 3600.0, "personal": []}]}', '2026-11-30 02:12:35.26046+00'),
	(41, 'upgrade.Breaking', 1, 1563087132, '{"forks": [], "pivot": 1, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}], "personal": [["customer"]], "confirmations": [{"name": "approval", "refund": null, "within": 3600.0, "personal": []}]}', '2026-11-30 02:12:35.260463+00'),
	(42, 'upgrade.Changed', 1, 87730852, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [["customer"]], "confirmations": []}', '2026-11-30 02:12:35.260469+00'),
	(43, 'upgrade.Child', 1, -1844241472, '{"forks": [], "pivot": 1, "steps": [{"name": "inner", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}], "personal": [["customer"]], "confirmations": [{"name": "approval", "refund": null, "within": 3600.0, "personal": []}]}', '2026-11-30 02:12:35.260472+00'),
	(46, 'upgrade.Order', 1, -277144515, '{"forks": [], "pivot": 3, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}], "personal": [["customer"]], "confirmations": [{"name": "approval", "refund": null, "within": 3600.0, "personal": []}, {"name": "payment", "refund": {"name": "payment", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate"}}, "within": 7200.0, "personal": []}]}', '2026-11-30 02:12:35.260483+00'),
	(47, 'upgrade.Parent', 1, -267035869, '{"forks": [], "pivot": 3, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "child", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [["customer"]], "confirmations": []}', '2026-11-30 02:12:35.260501+00'),
	(48, 'upgrade.Pivoted', 1, 541284142, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "three", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}], "personal": [["customer"]], "confirmations": []}', '2026-11-30 02:12:35.260505+00'),
	(49, 'upgrade.Remote', 1, 840454535, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "debit", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [["customer"]], "confirmations": []}', '2026-11-30 02:12:35.260508+00'),
	(50, 'upgrade.Travelling', 1, -43929257, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [["customer"]], "confirmations": [{"name": "approval", "refund": null, "within": 3600.0, "personal": []}]}', '2026-11-30 02:12:35.260511+00');
INSERT INTO public.sagas_escalation VALUES
	(2, 'COMPENSATING', 'two', 'compensate', '{"code": "Broken", "kind": "fault", "step": "two", "detail": "two.compensate is broken"}', '2026-11-30 02:12:41.885144+00', NULL, '', '', '', '01a22a39-cc5a-7739-bcb0-44afd0c159d2', 'The undo of two.compensate keeps failing. Mend its cause, then resume: it goes on with this undo. Resolve as FAILED only if this step, and every step before it, has been undone by hand.', 'bo', '2026-11-30 02:12:44.12856+00', 'mei', NULL, 0, 0),
	(1, 'CONFIRMING', 'one', 'confirm', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}', '2026-11-30 02:12:40.531347+00', NULL, '', '', '', '01a22a39-c876-7579-8ee4-fa05e3275270', 'The run is past its confirmation and only goes forward, and one.confirm keeps failing. Mend its cause, then resume. Resolve as SUCCEEDED only if all that is left has been confirmed by hand.', '', NULL, '', '2026-11-30 02:13:15.840759+00', 1, 0),
	(3, 'COMPENSATING', 'three', 'compensate', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.compensate is broken"}', '2026-11-30 02:12:43.869299+00', NULL, '', '', '', '01a22a39-d1f1-7005-b532-99262008d13f', 'The undo of three.compensate keeps failing. Mend its cause, then resume: it goes on with this undo. Resolve as FAILED only if this step, and every step before it, has been undone by hand.', '', NULL, '', '2026-11-30 02:13:15.840825+00', 1, 0),
	(4, 'CONFIRMING', 'three', 'forward', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.forward is broken"}', '2026-11-30 02:12:45.591194+00', NULL, '', '', '', '01a22a39-d9eb-75df-a3d2-002f97069f45', 'The run is past its confirmation and only goes forward, and three.forward keeps failing. Mend its cause, then resume. Resolve as SUCCEEDED only if all that is left has been confirmed by hand.', '', NULL, '', '2026-11-30 02:13:15.840834+00', 1, 0),
	(5, 'CONFIRMING', 'one', 'confirm', '{"code": "Broken", "kind": "breaker", "step": "one", "detail": "one.confirm is broken"}', '2026-11-30 02:12:56.849197+00', NULL, '', '', '', '01a22a3a-02fb-71bf-b285-4fef26b1b3f2', 'The participant of one.confirm breaks too often: its breaker is open, and whoever breaks there is escalated at once. Mend it. A probe that succeeds closes the breaker, and the runs that wait go on; then resume these.', '', NULL, '', '2026-11-30 02:12:56.849197+00', 0, 0),
	(6, 'CONFIRMING', 'one', 'confirm', '{"code": "Broken", "kind": "breaker", "step": "one", "detail": "one.confirm is broken"}', '2026-11-30 02:12:56.856075+00', NULL, '', '', '', '01a22a3a-0430-7339-b999-9f1405a80454', 'The participant of one.confirm breaks too often: its breaker is open, and whoever breaks there is escalated at once. Mend it. A probe that succeeds closes the breaker, and the runs that wait go on; then resume these.', '', NULL, '', '2026-11-30 02:12:56.856075+00', 0, 0),
	(7, 'CONFIRMING', 'one', 'confirm', '{"code": "Broken", "kind": "breaker", "step": "one", "detail": "one.confirm is broken"}', '2026-11-30 02:12:56.856923+00', NULL, '', '', '', '01a22a3a-06cf-7077-b98d-96c0950251a6', 'The participant of one.confirm breaks too often: its breaker is open, and whoever breaks there is escalated at once. Mend it. A probe that succeeds closes the breaker, and the runs that wait go on; then resume these.', '', NULL, '', '2026-11-30 02:12:56.856923+00', 0, 0);
INSERT INTO public.sagas_inbox VALUES
	('mailer', '01a22a39-b7db-7362-b117-0055156ee77f:1', '2026-11-30 02:13:00.705858+00');
INSERT INTO public.sagas_lock VALUES
	(2, 'table-7', '01a22a39-e6aa-71e5-90a2-49f81dbe5f8d', '01a22a39-e6aa-71e5-90a2-49f81dbe5f8d', 1, '2026-11-30 02:12:47.403902+00'),
	(4, 'table-7', '01a22a39-e6f2-7412-b5dd-8e86d9e3871b', '01a22a39-e6f2-7412-b5dd-8e86d9e3871b', 3, '2026-11-30 02:12:47.479181+00');
INSERT INTO public.sagas_log VALUES
	(1, '01a22a39-b738-76bc-8fc5-463660b3313b', '', 'start', 'EVENT', 1, '2026-11-30 02:12:35.264348+00', 0, '', 'af691ac9-55c8-4318-a023-b7703eff6df8', '', NULL),
	(2, '01a22a39-b7db-7362-b117-0055156ee77f', '', 'start', 'EVENT', 1, '2026-11-30 02:12:35.420598+00', 0, '', 'b6c39be7-15eb-4cff-b609-e7c665e1ff4e', '', NULL),
	(3, '01a22a39-b7db-7362-b117-0055156ee77f', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:35.55127+00', 540, 'by-hand', 'b6c39be7-15eb-4cff-b609-e7c665e1ff4e', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(4, '01a22a39-b8cf-77db-ad55-85d1b6ab9cfd', '', 'start', 'EVENT', 1, '2026-11-30 02:12:35.664766+00', 0, '', 'a72b422b-fe10-4445-9d01-aabfa50e3295', '', NULL),
	(5, '01a22a39-b8cf-77db-ad55-85d1b6ab9cfd', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:35.806912+00', 365, 'by-hand', 'a72b422b-fe10-4445-9d01-aabfa50e3295', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(6, '01a22a39-b9cb-761c-ba45-6002d2799b6b', '', 'start', 'EVENT', 1, '2026-11-30 02:12:35.916638+00', 0, '', 'edcfa6bc-3a30-4796-8425-897535bb6db7', '', NULL),
	(7, '01a22a39-b9cb-761c-ba45-6002d2799b6b', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:36.046509+00', 365, 'by-hand', 'edcfa6bc-3a30-4796-8425-897535bb6db7', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(8, '01a22a39-b9cb-761c-ba45-6002d2799b6b', 'two', 'forward', 'DONE', 1, '2026-11-30 02:12:36.142343+00', 356, 'by-hand', 'edcfa6bc-3a30-4796-8425-897535bb6db7', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(9, '01a22a39-b9cb-761c-ba45-6002d2799b6b', 'three', 'forward', 'DONE', 1, '2026-11-30 02:12:36.266429+00', 536, 'by-hand', 'edcfa6bc-3a30-4796-8425-897535bb6db7', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(10, '01a22a39-bb63-76b8-b371-d7f6deeb76ac', '', 'start', 'EVENT', 1, '2026-11-30 02:12:36.324624+00', 0, '', '90bef6af-b1a2-4fc7-a794-ee0311f61aa6', '', NULL),
	(11, '01a22a39-bb63-76b8-b371-d7f6deeb76ac', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:36.478344+00', 345, 'by-hand', '90bef6af-b1a2-4fc7-a794-ee0311f61aa6', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(12, '01a22a39-bb63-76b8-b371-d7f6deeb76ac', 'two', 'forward', 'DONE', 1, '2026-11-30 02:12:36.554753+00', 359, 'by-hand', '90bef6af-b1a2-4fc7-a794-ee0311f61aa6', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(13, '01a22a39-bb63-76b8-b371-d7f6deeb76ac', 'three', 'forward', 'DONE', 1, '2026-11-30 02:12:36.579991+00', 359, 'by-hand', '90bef6af-b1a2-4fc7-a794-ee0311f61aa6', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(14, '01a22a39-bb63-76b8-b371-d7f6deeb76ac', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 02:12:36.600894+00', 0, '', '90bef6af-b1a2-4fc7-a794-ee0311f61aa6', '', NULL),
	(15, '01a22a39-bc7a-75da-91e9-24993cddfa11', '', 'start', 'EVENT', 1, '2026-11-30 02:12:36.603232+00', 0, '', '0870cd87-aa98-4264-886b-740cd1a8d05b', '', NULL),
	(16, '01a22a39-bc7a-75da-91e9-24993cddfa11', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:36.726843+00', 432, 'by-hand', '0870cd87-aa98-4264-886b-740cd1a8d05b', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(17, '01a22a39-bc7a-75da-91e9-24993cddfa11', 'two', 'forward', 'DONE', 1, '2026-11-30 02:12:36.834749+00', 453, 'by-hand', '0870cd87-aa98-4264-886b-740cd1a8d05b', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(18, '01a22a39-bc7a-75da-91e9-24993cddfa11', 'three', 'forward', 'DONE', 1, '2026-11-30 02:12:36.974594+00', 337, 'by-hand', '0870cd87-aa98-4264-886b-740cd1a8d05b', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(19, '01a22a39-bc7a-75da-91e9-24993cddfa11', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 02:12:37.091236+00', 0, '', '0870cd87-aa98-4264-886b-740cd1a8d05b', '', NULL),
	(20, '01a22a39-bc7a-75da-91e9-24993cddfa11', 'payment', 'confirmation', 'EVENT', 1, '2026-11-30 02:12:37.096471+00', 0, '', '0870cd87-aa98-4264-886b-740cd1a8d05b', '', NULL),
	(21, '01a22a39-bc7a-75da-91e9-24993cddfa11', 'one', 'confirm', 'DONE', 1, '2026-11-30 02:12:37.225473+00', 559, 'by-hand', '0870cd87-aa98-4264-886b-740cd1a8d05b', '', '{"by": "one"}'),
	(22, '01a22a39-bf53-750c-8c97-fd42d84b146b', '', 'start', 'EVENT', 1, '2026-11-30 02:12:37.332592+00', 0, '', '3dd8ec90-0945-4bf0-907c-ec8486411c83', '', NULL),
	(23, '01a22a39-bf53-750c-8c97-fd42d84b146b', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:37.570283+00', 514, 'by-hand', '3dd8ec90-0945-4bf0-907c-ec8486411c83', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(24, '01a22a39-bf53-750c-8c97-fd42d84b146b', 'two', 'forward', 'DONE', 1, '2026-11-30 02:12:37.743437+00', 746, 'by-hand', '3dd8ec90-0945-4bf0-907c-ec8486411c83', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(25, '01a22a39-bf53-750c-8c97-fd42d84b146b', 'three', 'forward', 'DONE', 1, '2026-11-30 02:12:37.858944+00', 861, 'by-hand', '3dd8ec90-0945-4bf0-907c-ec8486411c83', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(26, '01a22a39-bf53-750c-8c97-fd42d84b146b', '', 'cancel', 'EVENT', 1, '2026-11-30 02:12:37.927734+00', 0, 'Lin', '3dd8ec90-0945-4bf0-907c-ec8486411c83', '', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": "changed my mind"}'),
	(27, '01a22a39-bf53-750c-8c97-fd42d84b146b', 'three', 'compensate', 'DONE', 1, '2026-11-30 02:12:38.021932+00', 1029, 'by-hand', '3dd8ec90-0945-4bf0-907c-ec8486411c83', '', '{"by": "three"}'),
	(28, '01a22a39-c23a-7720-a67a-88b645f98a4c', '', 'start', 'EVENT', 1, '2026-11-30 02:12:38.075059+00', 0, '', 'a191366a-ec2d-447f-b256-3bc578e7a8c4', '', NULL),
	(29, '01a22a39-c23a-7720-a67a-88b645f98a4c', 'payment', 'confirmation', 'EVENT', 1, '2026-11-30 02:12:38.086168+00', 0, '', 'a191366a-ec2d-447f-b256-3bc578e7a8c4', '', NULL),
	(30, '01a22a39-c23a-7720-a67a-88b645f98a4c', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:38.178425+00', 1017, 'by-hand', 'a191366a-ec2d-447f-b256-3bc578e7a8c4', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(31, '01a22a39-c23a-7720-a67a-88b645f98a4c', 'two', 'forward', 'DONE', 1, '2026-11-30 02:12:38.261366+00', 530, 'by-hand', 'a191366a-ec2d-447f-b256-3bc578e7a8c4', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(32, '01a22a39-c23a-7720-a67a-88b645f98a4c', 'three', 'forward', 'REJECTED', 1, '2026-11-30 02:12:38.289933+00', 285, 'by-hand', 'a191366a-ec2d-447f-b256-3bc578e7a8c4', '', '{"code": "SoldOut", "kind": "rejected", "step": "three", "detail": "three says no"}'),
	(33, '01a22a39-c348-773c-9850-8c3621ec112c', '', 'start', 'EVENT', 1, '2026-11-30 02:12:38.345512+00', 0, '', '19670551-2bf6-4a79-b909-91ddc3548344', '', NULL),
	(34, '01a22a39-c348-773c-9850-8c3621ec112c', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:38.392969+00', 561, 'by-hand', '19670551-2bf6-4a79-b909-91ddc3548344', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(35, '01a22a39-c348-773c-9850-8c3621ec112c', 'two', 'forward', 'DONE', 1, '2026-11-30 02:12:38.441346+00', 894, 'by-hand', '19670551-2bf6-4a79-b909-91ddc3548344', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(36, '01a22a39-c348-773c-9850-8c3621ec112c', 'three', 'forward', 'DONE', 1, '2026-11-30 02:12:38.493175+00', 1384, 'by-hand', '19670551-2bf6-4a79-b909-91ddc3548344', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(37, '01a22a39-c348-773c-9850-8c3621ec112c', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 02:12:38.56817+00', 0, '', '19670551-2bf6-4a79-b909-91ddc3548344', '', NULL),
	(38, '01a22a39-c348-773c-9850-8c3621ec112c', 'payment', 'confirmation', 'EVENT', 1, '2026-11-30 02:12:38.579715+00', 0, '', '19670551-2bf6-4a79-b909-91ddc3548344', '', NULL),
	(39, '01a22a39-c348-773c-9850-8c3621ec112c', 'one', 'confirm', 'DONE', 1, '2026-11-30 02:12:38.66924+00', 1360, 'by-hand', '19670551-2bf6-4a79-b909-91ddc3548344', '', '{"by": "one"}'),
	(40, '01a22a39-c348-773c-9850-8c3621ec112c', 'three', 'confirm', 'DONE', 1, '2026-11-30 02:12:38.793209+00', 1686, 'by-hand', '19670551-2bf6-4a79-b909-91ddc3548344', '', '{"by": "three"}'),
	(41, '01a22a39-c580-769c-b468-b5a698026f38', '', 'start', 'EVENT', 1, '2026-11-30 02:12:38.913849+00', 0, '', '15a6573b-ddae-4683-a1af-d0354b640f5b', '', NULL),
	(42, '01a22a39-c580-769c-b468-b5a698026f38', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:39.042875+00', 467, 'by-hand', '15a6573b-ddae-4683-a1af-d0354b640f5b', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(43, '01a22a39-c580-769c-b468-b5a698026f38', 'two', 'forward', 'DONE', 1, '2026-11-30 02:12:39.15726+00', 834, 'by-hand', '15a6573b-ddae-4683-a1af-d0354b640f5b', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(44, '01a22a39-c580-769c-b468-b5a698026f38', '', 'cancel', 'EVENT', 1, '2026-11-30 02:12:39.236634+00', 0, 'Lin', '15a6573b-ddae-4683-a1af-d0354b640f5b', '', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": "changed my mind"}'),
	(45, '01a22a39-c580-769c-b468-b5a698026f38', 'two', 'compensate', 'DONE', 1, '2026-11-30 02:12:39.389272+00', 329, 'by-hand', '15a6573b-ddae-4683-a1af-d0354b640f5b', '', '{"by": "two"}'),
	(46, '01a22a39-c580-769c-b468-b5a698026f38', 'one', 'compensate', 'DONE', 1, '2026-11-30 02:12:39.45468+00', 1614, 'by-hand', '15a6573b-ddae-4683-a1af-d0354b640f5b', '', '{"by": "one"}'),
	(47, '01a22a39-c7d1-7494-a2e7-538b0e07d987', '', 'start', 'EVENT', 1, '2026-11-30 02:12:39.506239+00', 0, '', '805a23de-6098-4365-bb49-0429ad04375d', '', NULL),
	(48, '01a22a39-c7d1-7494-a2e7-538b0e07d987', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:39.568274+00', 913, 'by-hand', '805a23de-6098-4365-bb49-0429ad04375d', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(49, '01a22a39-c876-7579-8ee4-fa05e3275270', '', 'start', 'EVENT', 1, '2026-11-30 02:12:39.670955+00', 0, '', 'c51b623a-b930-46a3-b82f-3e7708abaa53', '', NULL),
	(50, '01a22a39-c876-7579-8ee4-fa05e3275270', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:39.707775+00', 373, 'by-hand', 'c51b623a-b930-46a3-b82f-3e7708abaa53', 'tests.upgrade.sagas.effect', '{"by": "one"}');
INSERT INTO public.sagas_log VALUES
	(51, '01a22a39-c876-7579-8ee4-fa05e3275270', 'two', 'forward', 'DONE', 1, '2026-11-30 02:12:39.749325+00', 1649, 'by-hand', 'c51b623a-b930-46a3-b82f-3e7708abaa53', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(52, '01a22a39-c876-7579-8ee4-fa05e3275270', 'three', 'forward', 'DONE', 1, '2026-11-30 02:12:39.8247+00', 2090, 'by-hand', 'c51b623a-b930-46a3-b82f-3e7708abaa53', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(53, '01a22a39-c876-7579-8ee4-fa05e3275270', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 02:12:39.879572+00', 0, '', 'c51b623a-b930-46a3-b82f-3e7708abaa53', '', NULL),
	(54, '01a22a39-c876-7579-8ee4-fa05e3275270', 'payment', 'confirmation', 'EVENT', 1, '2026-11-30 02:12:39.884486+00', 0, '', 'c51b623a-b930-46a3-b82f-3e7708abaa53', '', NULL),
	(55, '01a22a39-c876-7579-8ee4-fa05e3275270', 'one', 'confirm', 'FAULT', 1, '2026-11-30 02:12:39.951579+00', 0, 'by-hand', 'c51b623a-b930-46a3-b82f-3e7708abaa53', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(104, '01a22a39-e747-7406-b66d-d3767962747a', 'child', 'forward', 'ACCEPTED', 1, '2026-11-30 02:12:47.761632+00', 0, 'by-hand', '2341c659-30f1-4c64-9c9d-45575dd91463', '', NULL),
	(56, '01a22a39-c876-7579-8ee4-fa05e3275270', 'one', 'confirm', 'FAULT', 2, '2026-11-30 02:12:40.060515+00', 0, 'by-hand', 'c51b623a-b930-46a3-b82f-3e7708abaa53', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(57, '01a22a39-c876-7579-8ee4-fa05e3275270', 'one', 'confirm', 'FAULT', 3, '2026-11-30 02:12:40.234287+00', 0, 'by-hand', 'c51b623a-b930-46a3-b82f-3e7708abaa53', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(58, '01a22a39-c876-7579-8ee4-fa05e3275270', 'one', 'confirm', 'FAULT', 4, '2026-11-30 02:12:40.384924+00', 0, 'by-hand', 'c51b623a-b930-46a3-b82f-3e7708abaa53', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(59, '01a22a39-c876-7579-8ee4-fa05e3275270', 'one', 'confirm', 'FAULT', 5, '2026-11-30 02:12:40.532699+00', 0, 'by-hand', 'c51b623a-b930-46a3-b82f-3e7708abaa53', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(60, '01a22a39-cc5a-7739-bcb0-44afd0c159d2', '', 'start', 'EVENT', 1, '2026-11-30 02:12:40.66685+00', 0, '', '10ec305d-806d-4497-8ae4-b09a62adba4f', '', NULL),
	(61, '01a22a39-cc5a-7739-bcb0-44afd0c159d2', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:40.780801+00', 996, 'by-hand', '10ec305d-806d-4497-8ae4-b09a62adba4f', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(62, '01a22a39-cc5a-7739-bcb0-44afd0c159d2', 'two', 'forward', 'DONE', 1, '2026-11-30 02:12:40.860897+00', 2169, 'by-hand', '10ec305d-806d-4497-8ae4-b09a62adba4f', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(63, '01a22a39-cc5a-7739-bcb0-44afd0c159d2', 'three', 'forward', 'DONE', 1, '2026-11-30 02:12:40.899895+00', 946, 'by-hand', '10ec305d-806d-4497-8ae4-b09a62adba4f', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(64, '01a22a39-cc5a-7739-bcb0-44afd0c159d2', '', 'cancel', 'EVENT', 1, '2026-11-30 02:12:40.966768+00', 0, '', '10ec305d-806d-4497-8ae4-b09a62adba4f', '', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": ""}'),
	(65, '01a22a39-cc5a-7739-bcb0-44afd0c159d2', 'three', 'compensate', 'DONE', 1, '2026-11-30 02:12:41.07667+00', 803, 'by-hand', '10ec305d-806d-4497-8ae4-b09a62adba4f', '', '{"by": "three"}'),
	(66, '01a22a39-cc5a-7739-bcb0-44afd0c159d2', 'two', 'compensate', 'FAULT', 1, '2026-11-30 02:12:41.144651+00', 0, 'by-hand', '10ec305d-806d-4497-8ae4-b09a62adba4f', '', '{"code": "Broken", "kind": "fault", "step": "two", "detail": "two.compensate is broken"}'),
	(67, '01a22a39-cc5a-7739-bcb0-44afd0c159d2', 'two', 'compensate', 'FAULT', 2, '2026-11-30 02:12:41.29554+00', 0, 'by-hand', '10ec305d-806d-4497-8ae4-b09a62adba4f', '', '{"code": "Broken", "kind": "fault", "step": "two", "detail": "two.compensate is broken"}'),
	(68, '01a22a39-cc5a-7739-bcb0-44afd0c159d2', 'two', 'compensate', 'FAULT', 3, '2026-11-30 02:12:41.363127+00', 0, 'by-hand', '10ec305d-806d-4497-8ae4-b09a62adba4f', '', '{"code": "Broken", "kind": "fault", "step": "two", "detail": "two.compensate is broken"}'),
	(69, '01a22a39-cc5a-7739-bcb0-44afd0c159d2', 'two', 'compensate', 'FAULT', 4, '2026-11-30 02:12:41.580446+00', 0, 'by-hand', '10ec305d-806d-4497-8ae4-b09a62adba4f', '', '{"code": "Broken", "kind": "fault", "step": "two", "detail": "two.compensate is broken"}'),
	(70, '01a22a39-cc5a-7739-bcb0-44afd0c159d2', 'two', 'compensate', 'FAULT', 5, '2026-11-30 02:12:41.886117+00', 0, 'by-hand', '10ec305d-806d-4497-8ae4-b09a62adba4f', '', '{"code": "Broken", "kind": "fault", "step": "two", "detail": "two.compensate is broken"}'),
	(71, '01a22a39-d1f1-7005-b532-99262008d13f', '', 'start', 'EVENT', 1, '2026-11-30 02:12:42.098136+00', 0, '', '742efebf-927e-418b-a3a3-12b027b689df', '', NULL),
	(72, '01a22a39-d1f1-7005-b532-99262008d13f', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:42.248253+00', 3899, 'by-hand', '742efebf-927e-418b-a3a3-12b027b689df', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(73, '01a22a39-d1f1-7005-b532-99262008d13f', 'two', 'forward', 'DONE', 1, '2026-11-30 02:12:42.364465+00', 2825, 'by-hand', '742efebf-927e-418b-a3a3-12b027b689df', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(74, '01a22a39-d1f1-7005-b532-99262008d13f', 'three', 'forward', 'DONE', 1, '2026-11-30 02:12:42.476677+00', 343, 'by-hand', '742efebf-927e-418b-a3a3-12b027b689df', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(75, '01a22a39-d1f1-7005-b532-99262008d13f', '', 'cancel', 'EVENT', 1, '2026-11-30 02:12:42.614611+00', 0, '', '742efebf-927e-418b-a3a3-12b027b689df', '', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": ""}'),
	(76, '01a22a39-d1f1-7005-b532-99262008d13f', 'three', 'compensate', 'FAULT', 1, '2026-11-30 02:12:42.792465+00', 0, 'by-hand', '742efebf-927e-418b-a3a3-12b027b689df', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.compensate is broken"}'),
	(77, '01a22a39-d1f1-7005-b532-99262008d13f', 'three', 'compensate', 'FAULT', 2, '2026-11-30 02:12:43.064589+00', 0, 'by-hand', '742efebf-927e-418b-a3a3-12b027b689df', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.compensate is broken"}'),
	(78, '01a22a39-d1f1-7005-b532-99262008d13f', 'three', 'compensate', 'FAULT', 3, '2026-11-30 02:12:43.319598+00', 0, 'by-hand', '742efebf-927e-418b-a3a3-12b027b689df', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.compensate is broken"}'),
	(79, '01a22a39-d1f1-7005-b532-99262008d13f', 'three', 'compensate', 'FAULT', 4, '2026-11-30 02:12:43.615691+00', 0, 'by-hand', '742efebf-927e-418b-a3a3-12b027b689df', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.compensate is broken"}'),
	(80, '01a22a39-d1f1-7005-b532-99262008d13f', 'three', 'compensate', 'FAULT', 5, '2026-11-30 02:12:43.870336+00', 0, 'by-hand', '742efebf-927e-418b-a3a3-12b027b689df', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.compensate is broken"}'),
	(81, '01a22a39-cc5a-7739-bcb0-44afd0c159d2', '', 'acknowledge', 'EVENT', 1, '2026-11-30 02:12:44.128875+00', 0, 'mei', '10ec305d-806d-4497-8ae4-b09a62adba4f', '', NULL),
	(82, '01a22a39-cc5a-7739-bcb0-44afd0c159d2', '', 'assign', 'EVENT', 1, '2026-11-30 02:12:44.13077+00', 0, 'mei', '10ec305d-806d-4497-8ae4-b09a62adba4f', '', '{"to": "bo"}'),
	(83, '01a22a39-d9eb-75df-a3d2-002f97069f45', '', 'start', 'EVENT', 1, '2026-11-30 02:12:44.139823+00', 0, '', '180a61e4-5131-41ff-8489-c45802c323ff', '', NULL),
	(84, '01a22a39-d9eb-75df-a3d2-002f97069f45', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:44.22658+00', 336, 'by-hand', '180a61e4-5131-41ff-8489-c45802c323ff', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(85, '01a22a39-d9eb-75df-a3d2-002f97069f45', 'two', 'forward', 'DONE', 1, '2026-11-30 02:12:44.328951+00', 396, 'by-hand', '180a61e4-5131-41ff-8489-c45802c323ff', '', '{"by": "two"}'),
	(86, '01a22a39-d9eb-75df-a3d2-002f97069f45', 'three', 'forward', 'FAULT', 1, '2026-11-30 02:12:44.577911+00', 0, 'by-hand', '180a61e4-5131-41ff-8489-c45802c323ff', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.forward is broken"}'),
	(87, '01a22a39-d9eb-75df-a3d2-002f97069f45', 'three', 'forward', 'FAULT', 2, '2026-11-30 02:12:44.834604+00', 0, 'by-hand', '180a61e4-5131-41ff-8489-c45802c323ff', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.forward is broken"}'),
	(88, '01a22a39-d9eb-75df-a3d2-002f97069f45', 'three', 'forward', 'FAULT', 3, '2026-11-30 02:12:45.077768+00', 0, 'by-hand', '180a61e4-5131-41ff-8489-c45802c323ff', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.forward is broken"}'),
	(89, '01a22a39-d9eb-75df-a3d2-002f97069f45', 'three', 'forward', 'FAULT', 4, '2026-11-30 02:12:45.341943+00', 0, 'by-hand', '180a61e4-5131-41ff-8489-c45802c323ff', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.forward is broken"}'),
	(90, '01a22a39-d9eb-75df-a3d2-002f97069f45', 'three', 'forward', 'FAULT', 5, '2026-11-30 02:12:45.592056+00', 0, 'by-hand', '180a61e4-5131-41ff-8489-c45802c323ff', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.forward is broken"}'),
	(91, '01a22a39-e11f-72e9-b005-4eeb68dddc03', '', 'start', 'EVENT', 1, '2026-11-30 02:12:45.985509+00', 0, '', '5fa60c90-de69-44ff-93db-66654e2a1d02', '', NULL),
	(92, '01a22a39-e11f-72e9-b005-4eeb68dddc03', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:46.126197+00', 368, 'by-hand', '5fa60c90-de69-44ff-93db-66654e2a1d02', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(93, '01a22a39-e11f-72e9-b005-4eeb68dddc03', 'right', 'forward', 'ACCEPTED', 1, '2026-11-30 02:12:46.289127+00', 0, 'by-hand', '5fa60c90-de69-44ff-93db-66654e2a1d02', '', NULL),
	(94, '01a22a39-e2f7-71d4-bc9d-61ad545355e5', '', 'start', 'EVENT', 1, '2026-11-30 02:12:46.456328+00', 0, '', '90cd537f-db50-4da2-996d-6bdf6c2e8a92', '', NULL),
	(95, '01a22a39-e2f7-71d4-bc9d-61ad545355e5', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:46.641853+00', 310, 'by-hand', '90cd537f-db50-4da2-996d-6bdf6c2e8a92', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(96, '01a22a39-e2f7-71d4-bc9d-61ad545355e5', 'left', 'forward', 'DONE', 1, '2026-11-30 02:12:46.820481+00', 753, 'by-hand', '90cd537f-db50-4da2-996d-6bdf6c2e8a92', 'tests.upgrade.sagas.effect', '{"by": "left"}'),
	(97, '01a22a39-e558-737e-a77a-db4fcd01aef6', '', 'start', 'EVENT', 1, '2026-11-30 02:12:47.065547+00', 0, '', 'a60afc53-e8bd-4d3f-9bea-80a2b839617d', '', NULL),
	(98, '01a22a39-e558-737e-a77a-db4fcd01aef6', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:47.215079+00', 1217, 'by-hand', 'a60afc53-e8bd-4d3f-9bea-80a2b839617d', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(99, '01a22a39-e6aa-71e5-90a2-49f81dbe5f8d', '', 'start', 'EVENT', 1, '2026-11-30 02:12:47.406292+00', 0, '', '02e8fee2-8b44-43de-ae23-bdfa1d420088', '', NULL);
INSERT INTO public.sagas_log VALUES
	(100, '01a22a39-e6f2-7412-b5dd-8e86d9e3871b', '', 'start', 'EVENT', 1, '2026-11-30 02:12:47.481442+00', 0, '', 'b59c2f89-1624-4d11-81ab-0d26ca4dcbb2', '', NULL),
	(101, '01a22a39-e747-7406-b66d-d3767962747a', '', 'start', 'EVENT', 1, '2026-11-30 02:12:47.560229+00', 0, '', '2341c659-30f1-4c64-9c9d-45575dd91463', '', NULL),
	(102, '01a22a39-e747-7406-b66d-d3767962747a', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:47.651345+00', 4015, 'by-hand', '2341c659-30f1-4c64-9c9d-45575dd91463', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(103, '05071484-2f9b-555d-a2fa-7194d0852d02', '', 'start', 'EVENT', 1, '2026-11-30 02:12:47.759472+00', 0, '', '11d437c0-b49a-4fc4-8091-6ae9fb3527e1', '', NULL),
	(105, '01a22a39-e8fc-728b-a17e-4cd5247b8e99', '', 'start', 'EVENT', 1, '2026-11-30 02:12:47.997608+00', 0, '', '339d842f-a964-4036-aea9-c7052c0554a2', '', NULL),
	(106, '01a22a39-e8fc-728b-a17e-4cd5247b8e99', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:48.099674+00', 4552, 'by-hand', '339d842f-a964-4036-aea9-c7052c0554a2', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(107, '1fc2e3e4-08e8-563d-83c2-a0faedea814e', '', 'start', 'EVENT', 1, '2026-11-30 02:12:48.305333+00', 0, '', 'f3b2120e-d1fd-41ec-b6e2-a198d3bf903c', '', NULL),
	(108, '01a22a39-e8fc-728b-a17e-4cd5247b8e99', 'child', 'forward', 'ACCEPTED', 1, '2026-11-30 02:12:48.3064+00', 0, 'by-hand', '339d842f-a964-4036-aea9-c7052c0554a2', '', NULL),
	(109, '01a22a39-ead3-73d0-9e4c-2fe63cd85db4', '', 'start', 'EVENT', 1, '2026-11-30 02:12:48.468462+00', 0, '', 'bcc04c5d-355c-4c4c-abf6-8638139c13a3', '', NULL),
	(110, '01a22a39-ead3-73d0-9e4c-2fe63cd85db4', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:48.540858+00', 8226, 'by-hand', 'bcc04c5d-355c-4c4c-abf6-8638139c13a3', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(111, '665df2d0-b511-53c0-81e9-a941dc331216', '', 'start', 'EVENT', 1, '2026-11-30 02:12:48.723159+00', 0, '', '33c4ff77-1586-451f-b90e-3218742730aa', '', NULL),
	(112, '01a22a39-ead3-73d0-9e4c-2fe63cd85db4', 'child', 'forward', 'ACCEPTED', 1, '2026-11-30 02:12:48.728126+00', 0, 'by-hand', 'bcc04c5d-355c-4c4c-abf6-8638139c13a3', '', NULL),
	(113, '1fc2e3e4-08e8-563d-83c2-a0faedea814e', 'inner', 'forward', 'DONE', 1, '2026-11-30 02:12:48.917612+00', 3003, 'by-hand', 'f3b2120e-d1fd-41ec-b6e2-a198d3bf903c', 'tests.upgrade.sagas.effect', '{"by": "inner"}'),
	(114, '665df2d0-b511-53c0-81e9-a941dc331216', 'inner', 'forward', 'DONE', 1, '2026-11-30 02:12:49.024804+00', 4297, 'by-hand', '33c4ff77-1586-451f-b90e-3218742730aa', 'tests.upgrade.sagas.effect', '{"by": "inner"}'),
	(115, '01a22a39-ead3-73d0-9e4c-2fe63cd85db4', '', 'cancel', 'EVENT', 1, '2026-11-30 02:12:49.542268+00', 0, '', 'bcc04c5d-355c-4c4c-abf6-8638139c13a3', '', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": ""}'),
	(116, '01a22a39-ef69-714e-a623-2e5c4a79b1b0', '', 'start', 'EVENT', 1, '2026-11-30 02:12:49.64239+00', 0, '', '489e9ae7-375a-4c97-b3b0-8030d7a45697', '', NULL),
	(117, '01a22a39-ef69-714e-a623-2e5c4a79b1b0', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:49.743172+00', 643, 'by-hand', '489e9ae7-375a-4c97-b3b0-8030d7a45697', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(118, '01a22a39-f00c-7288-88d9-0de6756884d6', '', 'start', 'EVENT', 1, '2026-11-30 02:12:49.806408+00', 0, '', '548f3986-9764-4c2d-9454-0afb9db16503', '', NULL),
	(119, '01a22a39-f00c-7288-88d9-0de6756884d6', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:50.445639+00', 503, 'by-hand', '548f3986-9764-4c2d-9454-0afb9db16503', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(120, '01a22a39-f00c-7288-88d9-0de6756884d6', 'two', 'forward', 'DONE', 1, '2026-11-30 02:12:50.687979+00', 894, 'by-hand', '548f3986-9764-4c2d-9454-0afb9db16503', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(121, '01a22a39-f00c-7288-88d9-0de6756884d6', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 02:12:50.729138+00', 0, '', '548f3986-9764-4c2d-9454-0afb9db16503', '', NULL),
	(122, '01a22a39-f40d-73d1-bf90-d7fecac3f49b', '', 'start', 'EVENT', 1, '2026-11-30 02:12:50.829868+00', 0, '', '2a433512-9846-4081-8d54-b383c38b59ff', '', NULL),
	(123, '01a22a39-f40d-73d1-bf90-d7fecac3f49b', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:51.026574+00', 2177, 'by-hand', '2a433512-9846-4081-8d54-b383c38b59ff', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(124, '01a22a39-f40d-73d1-bf90-d7fecac3f49b', 'two', 'forward', 'DONE', 1, '2026-11-30 02:12:51.128663+00', 18274, 'by-hand', '2a433512-9846-4081-8d54-b383c38b59ff', 'tests.upgrade.sagas.effect_there', '{"by": "two"}'),
	(125, '01a22a39-f571-73e8-a920-5e522cbb3d6c', '', 'start', 'EVENT', 1, '2026-11-30 02:12:51.186383+00', 0, '', '2cd44238-e36e-438c-b702-190605e05810', '', NULL),
	(126, '01a22a39-f571-73e8-a920-5e522cbb3d6c', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:51.276962+00', 1258, 'by-hand', '2cd44238-e36e-438c-b702-190605e05810', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(127, '01a22a39-f607-7190-9588-86bff45c4184', '', 'start', 'EVENT', 1, '2026-11-30 02:12:51.336138+00', 0, '', 'f3847790-af04-4d5d-89ce-088ffb6e25a1', '', NULL),
	(128, '01a22a39-f607-7190-9588-86bff45c4184', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:51.405631+00', 3242, 'by-hand', 'f3847790-af04-4d5d-89ce-088ffb6e25a1', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(129, '01a22a39-f607-7190-9588-86bff45c4184', '', 'cancel', 'EVENT', 1, '2026-11-30 02:12:51.499686+00', 0, '', 'f3847790-af04-4d5d-89ce-088ffb6e25a1', '', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": ""}'),
	(130, '01a22a39-f607-7190-9588-86bff45c4184', 'two', 'compensate', 'DONE', 1, '2026-11-30 02:12:51.688534+00', 14093, 'by-hand', 'f3847790-af04-4d5d-89ce-088ffb6e25a1', '', '{"null": true}'),
	(131, '01a22a39-f7a7-7413-8967-8d40c5c3f906', '', 'start', 'EVENT', 1, '2026-11-30 02:12:51.75245+00', 0, '', '758dd684-c875-4cac-aa4a-0bd90a897607', '', NULL),
	(132, '01a22a39-f7a7-7413-8967-8d40c5c3f906', 'create_order', 'forward', 'DONE', 1, '2026-11-30 02:12:51.896325+00', 1244, 'by-hand', '758dd684-c875-4cac-aa4a-0bd90a897607', 'orders.participants.reject_order', NULL),
	(133, '01a22a39-f7a7-7413-8967-8d40c5c3f906', 'reserve_inventory', 'try', 'DONE', 1, '2026-11-30 02:12:52.163322+00', 1164, 'by-hand', '758dd684-c875-4cac-aa4a-0bd90a897607', 'sagas.pool.PoolResource.cancel', NULL),
	(134, '01a22a39-f9b1-76fb-82d1-d5f63c2e5070', '', 'start', 'EVENT', 1, '2026-11-30 02:12:52.274585+00', 0, '', '5c6fe07c-0bfa-4836-b695-4d1d10b484e8', '', NULL),
	(135, '01a22a39-f9b1-76fb-82d1-d5f63c2e5070', 'create_order', 'forward', 'DONE', 1, '2026-11-30 02:12:52.406605+00', 677, 'by-hand', '5c6fe07c-0bfa-4836-b695-4d1d10b484e8', 'orders.participants.reject_order', NULL),
	(136, '01a22a39-f9b1-76fb-82d1-d5f63c2e5070', 'reserve_inventory', 'try', 'DONE', 1, '2026-11-30 02:12:52.513403+00', 1146, 'by-hand', '5c6fe07c-0bfa-4836-b695-4d1d10b484e8', 'sagas.pool.PoolResource.cancel', NULL),
	(137, '01a22a39-f9b1-76fb-82d1-d5f63c2e5070', 'apply_coupon', 'forward', 'DONE', 1, '2026-11-30 02:12:52.645669+00', 3100, 'by-hand', '5c6fe07c-0bfa-4836-b695-4d1d10b484e8', 'coupons.participants.refund', '{"discount_cents": 500}'),
	(138, '01a22a39-f9b1-76fb-82d1-d5f63c2e5070', 'schedule_delivery', 'try', 'DONE', 1, '2026-11-30 02:12:52.814029+00', 8228, 'by-hand', '5c6fe07c-0bfa-4836-b695-4d1d10b484e8', 'sagas.pool.PoolResource.cancel', NULL),
	(139, '01a22a39-fc28-7442-8fde-71e14214a2db', '', 'start', 'EVENT', 1, '2026-11-30 02:12:52.907752+00', 0, '', '577b7096-1a2b-45d0-aeaa-7a329c35e9f9', '', NULL),
	(140, '01a22a39-fc28-7442-8fde-71e14214a2db', 'create_order', 'forward', 'DONE', 1, '2026-11-30 02:12:53.092714+00', 3848, 'by-hand', '577b7096-1a2b-45d0-aeaa-7a329c35e9f9', 'orders.participants.reject_order', NULL),
	(141, '01a22a39-fc28-7442-8fde-71e14214a2db', 'reserve_inventory', 'try', 'DONE', 1, '2026-11-30 02:12:53.142673+00', 2292, 'by-hand', '577b7096-1a2b-45d0-aeaa-7a329c35e9f9', 'sagas.pool.PoolResource.cancel', NULL),
	(142, '01a22a39-fc28-7442-8fde-71e14214a2db', 'apply_coupon', 'forward', 'DONE', 1, '2026-11-30 02:12:53.217454+00', 1056, 'by-hand', '577b7096-1a2b-45d0-aeaa-7a329c35e9f9', 'coupons.participants.refund', '{"discount_cents": 500}'),
	(143, '01a22a39-fc28-7442-8fde-71e14214a2db', 'schedule_delivery', 'try', 'DONE', 1, '2026-11-30 02:12:53.359992+00', 10282, 'by-hand', '577b7096-1a2b-45d0-aeaa-7a329c35e9f9', 'sagas.pool.PoolResource.cancel', NULL),
	(144, '01a22a39-fe74-7521-be21-f428cf5215c8', '', 'start', 'EVENT', 1, '2026-11-30 02:12:53.493533+00', 0, '', 'f33b716e-7732-4649-bebc-68b2f92bb799', '', NULL),
	(145, '01a22a39-fe74-7521-be21-f428cf5215c8', 'create_order', 'forward', 'DONE', 1, '2026-11-30 02:12:53.699865+00', 760, 'by-hand', 'f33b716e-7732-4649-bebc-68b2f92bb799', 'orders.participants.reject_order', NULL),
	(146, '01a22a39-fe74-7521-be21-f428cf5215c8', 'reserve_inventory', 'try', 'DONE', 1, '2026-11-30 02:12:53.794311+00', 16251, 'by-hand', 'f33b716e-7732-4649-bebc-68b2f92bb799', 'sagas.pool.PoolResource.cancel', NULL),
	(147, '01a22a39-fe74-7521-be21-f428cf5215c8', 'apply_coupon', 'forward', 'DONE', 1, '2026-11-30 02:12:53.96839+00', 912, 'by-hand', 'f33b716e-7732-4649-bebc-68b2f92bb799', 'coupons.participants.refund', '{"discount_cents": 500}'),
	(148, '01a22a39-fe74-7521-be21-f428cf5215c8', 'schedule_delivery', 'try', 'DONE', 1, '2026-11-30 02:12:54.15279+00', 15784, 'by-hand', 'f33b716e-7732-4649-bebc-68b2f92bb799', 'sagas.pool.PoolResource.cancel', NULL),
	(149, '01a22a39-fc28-7442-8fde-71e14214a2db', '', 'cancel', 'EVENT', 1, '2026-11-30 02:12:54.285454+00', 0, '', '577b7096-1a2b-45d0-aeaa-7a329c35e9f9', '', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": "changed my mind"}'),
	(150, '01a22a39-fe74-7521-be21-f428cf5215c8', 'payment', 'confirmation', 'EVENT', 1, '2026-11-30 02:12:54.299573+00', 0, '', 'f33b716e-7732-4649-bebc-68b2f92bb799', '', NULL);
INSERT INTO public.sagas_log VALUES
	(151, '01a22a39-fc28-7442-8fde-71e14214a2db', 'schedule_delivery', 'cancel', 'DONE', 1, '2026-11-30 02:12:54.390123+00', 1093, 'by-hand', '577b7096-1a2b-45d0-aeaa-7a329c35e9f9', '', NULL),
	(152, '01a22a39-fe74-7521-be21-f428cf5215c8', 'create_order', 'confirm', 'DONE', 1, '2026-11-30 02:12:54.539585+00', 469, 'by-hand', 'f33b716e-7732-4649-bebc-68b2f92bb799', '', NULL),
	(153, '01a22a3a-02fb-71bf-b285-4fef26b1b3f2', '', 'start', 'EVENT', 1, '2026-11-30 02:12:54.655517+00', 0, '', '733ba9bb-271d-47bc-8c05-a19348ebd472', '', NULL),
	(154, '01a22a3a-02fb-71bf-b285-4fef26b1b3f2', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:54.76236+00', 460, 'by-hand', '733ba9bb-271d-47bc-8c05-a19348ebd472', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(155, '01a22a3a-02fb-71bf-b285-4fef26b1b3f2', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 02:12:54.863788+00', 0, '', '733ba9bb-271d-47bc-8c05-a19348ebd472', '', NULL),
	(156, '01a22a3a-0430-7339-b999-9f1405a80454', '', 'start', 'EVENT', 1, '2026-11-30 02:12:54.961352+00', 0, '', '0cf86d1e-2799-4ea4-ad7a-138ad0c422e8', '', NULL),
	(157, '01a22a3a-0430-7339-b999-9f1405a80454', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:55.13415+00', 403, 'by-hand', '0cf86d1e-2799-4ea4-ad7a-138ad0c422e8', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(158, '01a22a3a-0430-7339-b999-9f1405a80454', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 02:12:55.350573+00', 0, '', '0cf86d1e-2799-4ea4-ad7a-138ad0c422e8', '', NULL),
	(159, '01a22a3a-06cf-7077-b98d-96c0950251a6', '', 'start', 'EVENT', 1, '2026-11-30 02:12:55.632531+00', 0, '', 'c97aca0e-5e40-4d60-9491-0bfb663c15d9', '', NULL),
	(160, '01a22a3a-06cf-7077-b98d-96c0950251a6', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:55.82747+00', 397, 'by-hand', 'c97aca0e-5e40-4d60-9491-0bfb663c15d9', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(161, '01a22a3a-06cf-7077-b98d-96c0950251a6', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 02:12:55.949374+00', 0, '', 'c97aca0e-5e40-4d60-9491-0bfb663c15d9', '', NULL),
	(162, '01a22a3a-02fb-71bf-b285-4fef26b1b3f2', 'one', 'confirm', 'FAULT', 1, '2026-11-30 02:12:56.094988+00', 0, 'by-hand', '733ba9bb-271d-47bc-8c05-a19348ebd472', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(163, '01a22a3a-0430-7339-b999-9f1405a80454', 'one', 'confirm', 'FAULT', 1, '2026-11-30 02:12:56.217737+00', 0, 'by-hand', '0cf86d1e-2799-4ea4-ad7a-138ad0c422e8', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(164, '01a22a3a-06cf-7077-b98d-96c0950251a6', 'one', 'confirm', 'FAULT', 1, '2026-11-30 02:12:56.329795+00', 0, 'by-hand', 'c97aca0e-5e40-4d60-9491-0bfb663c15d9', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(165, '01a22a3a-02fb-71bf-b285-4fef26b1b3f2', 'one', 'confirm', 'FAULT', 2, '2026-11-30 02:12:56.579543+00', 0, 'by-hand', '733ba9bb-271d-47bc-8c05-a19348ebd472', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(166, '01a22a3a-0430-7339-b999-9f1405a80454', 'one', 'confirm', 'FAULT', 2, '2026-11-30 02:12:56.580365+00', 0, 'by-hand', '0cf86d1e-2799-4ea4-ad7a-138ad0c422e8', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(167, '01a22a3a-06cf-7077-b98d-96c0950251a6', 'one', 'confirm', 'FAULT', 2, '2026-11-30 02:12:56.581036+00', 0, 'by-hand', 'c97aca0e-5e40-4d60-9491-0bfb663c15d9', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(168, '01a22a3a-02fb-71bf-b285-4fef26b1b3f2', 'one', 'confirm', 'FAULT', 3, '2026-11-30 02:12:56.855623+00', 0, 'by-hand', '733ba9bb-271d-47bc-8c05-a19348ebd472', '', '{"code": "Broken", "kind": "breaker", "step": "one", "detail": "one.confirm is broken"}'),
	(169, '01a22a3a-0430-7339-b999-9f1405a80454', 'one', 'confirm', 'FAULT', 3, '2026-11-30 02:12:56.856636+00', 0, 'by-hand', '0cf86d1e-2799-4ea4-ad7a-138ad0c422e8', '', '{"code": "Broken", "kind": "breaker", "step": "one", "detail": "one.confirm is broken"}'),
	(170, '01a22a3a-06cf-7077-b98d-96c0950251a6', 'one', 'confirm', 'FAULT', 3, '2026-11-30 02:12:56.857417+00', 0, 'by-hand', 'c97aca0e-5e40-4d60-9491-0bfb663c15d9', '', '{"code": "Broken", "kind": "breaker", "step": "one", "detail": "one.confirm is broken"}'),
	(171, '01a22a3a-0bee-76ab-9104-225cab785a3e', '', 'start', 'EVENT', 1, '2026-11-30 02:12:56.942941+00', 0, '', 'a540e46e-0e35-4854-a4b2-9a1749f4cb7d', '', NULL),
	(172, '01a22a3a-0bee-76ab-9104-225cab785a3e', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:57.037324+00', 448, 'by-hand', 'a540e46e-0e35-4854-a4b2-9a1749f4cb7d', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(173, '01a22a3a-0bee-76ab-9104-225cab785a3e', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 02:12:57.235268+00', 0, '', 'a540e46e-0e35-4854-a4b2-9a1749f4cb7d', '', NULL),
	(174, '01a22a3a-0e7b-761f-9a3f-59e1196dae0e', '', 'start', 'EVENT', 1, '2026-11-30 02:12:57.596739+00', 0, '', '19062544-ff8e-4b6b-9cdd-0056f3ec900d', '', NULL),
	(175, '01a22a3a-0e7b-761f-9a3f-59e1196dae0e', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:57.827117+00', 405, 'by-hand', '19062544-ff8e-4b6b-9cdd-0056f3ec900d', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(176, '01a22a3a-0ff0-7543-8e14-21119aa06d6c', '', 'start', 'EVENT', 1, '2026-11-30 02:12:57.969276+00', 0, '', '8f8610fb-43d4-4775-9095-88f057f433af', '', NULL),
	(177, '01a22a3a-0ff0-7543-8e14-21119aa06d6c', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:58.116555+00', 422, 'by-hand', '8f8610fb-43d4-4775-9095-88f057f433af', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(178, '01a22a3a-0ff0-7543-8e14-21119aa06d6c', 'left', 'forward', 'FAULT', 1, '2026-11-30 02:12:58.188022+00', 0, 'by-hand', '8f8610fb-43d4-4775-9095-88f057f433af', '', '{"code": "Broken", "kind": "fault", "step": "left", "detail": "left.forward is broken"}'),
	(179, '01a22a3a-112d-7110-b527-84e7ccf36c1c', '', 'start', 'EVENT', 1, '2026-11-30 02:12:58.287849+00', 0, '', '48b63b74-e14e-4870-aaa8-53a9e18162da', '', NULL),
	(180, '01a22a3a-112d-7110-b527-84e7ccf36c1c', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:58.366665+00', 435, 'by-hand', '48b63b74-e14e-4870-aaa8-53a9e18162da', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(181, '01a22a3a-112d-7110-b527-84e7ccf36c1c', 'two', 'forward', 'DONE', 1, '2026-11-30 02:12:58.802334+00', 381, 'by-hand', '48b63b74-e14e-4870-aaa8-53a9e18162da', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(182, '01a22a3a-112d-7110-b527-84e7ccf36c1c', 'three', 'forward', 'DONE', 1, '2026-11-30 02:12:58.903899+00', 377, 'by-hand', '48b63b74-e14e-4870-aaa8-53a9e18162da', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(183, '01a22a3a-13f3-7264-a0bf-8d20c880c967', '', 'start', 'EVENT', 1, '2026-11-30 02:12:58.996546+00', 0, '', '3c3d8aab-1a48-481d-8fc9-0927125e7868', '', NULL),
	(184, '01a22a3a-13f3-7264-a0bf-8d20c880c967', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:59.134584+00', 399, 'by-hand', '3c3d8aab-1a48-481d-8fc9-0927125e7868', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(185, '01a22a3a-13f3-7264-a0bf-8d20c880c967', 'two', 'forward', 'DONE', 1, '2026-11-30 02:12:59.264169+00', 376, 'by-hand', '3c3d8aab-1a48-481d-8fc9-0927125e7868', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(186, '01a22a3a-13f3-7264-a0bf-8d20c880c967', 'three', 'forward', 'DONE', 1, '2026-11-30 02:12:59.37852+00', 689, 'by-hand', '3c3d8aab-1a48-481d-8fc9-0927125e7868', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(187, '01a22a3a-15e0-736a-b381-4a9cd1535863', '', 'start', 'EVENT', 1, '2026-11-30 02:12:59.489181+00', 0, '', 'bc92612c-4331-49d4-b62c-f4ae68047ed4', '', NULL),
	(188, '01a22a3a-15e0-736a-b381-4a9cd1535863', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:59.66927+00', 425, 'by-hand', 'bc92612c-4331-49d4-b62c-f4ae68047ed4', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(189, '01a22a3a-16ef-7632-8cd4-61cedc378d0f', '', 'start', 'EVENT', 1, '2026-11-30 02:12:59.760602+00', 0, '', '3e90f9cb-f2f3-4f7c-9e9f-82108ab950f3', '', NULL),
	(190, '01a22a3a-16ef-7632-8cd4-61cedc378d0f', 'one', 'forward', 'DONE', 1, '2026-11-30 02:12:59.874591+00', 346, 'by-hand', '3e90f9cb-f2f3-4f7c-9e9f-82108ab950f3', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(191, '01a22a3a-0e7b-761f-9a3f-59e1196dae0e', 'two', 'forward', 'FAULT', 1, '2026-11-30 02:12:59.951065+00', 0, 'by-hand', '19062544-ff8e-4b6b-9cdd-0056f3ec900d', '', '{"code": "Broken", "kind": "fault", "step": "two", "detail": "two.forward is broken"}'),
	(192, '01a22a3a-15e0-736a-b381-4a9cd1535863', 'two', 'forward', 'REJECTED', 1, '2026-11-30 02:13:00.325285+00', 4760, 'by-hand', 'bc92612c-4331-49d4-b62c-f4ae68047ed4', '', '{"code": "SoldOut", "kind": "rejected", "step": "two", "detail": "two says no"}'),
	(193, '01a22a3a-16ef-7632-8cd4-61cedc378d0f', 'debit', 'forward', 'INTENT', 1, '2026-11-30 02:13:00.473334+00', 0, 'by-hand', '3e90f9cb-f2f3-4f7c-9e9f-82108ab950f3', '', NULL),
	(194, '01a22a3a-112d-7110-b527-84e7ccf36c1c', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 02:13:00.527265+00', 0, '', '48b63b74-e14e-4870-aaa8-53a9e18162da', '', NULL),
	(195, '01a22a3a-112d-7110-b527-84e7ccf36c1c', 'payment', 'confirmation', 'EVENT', 1, '2026-11-30 02:13:00.547371+00', 0, '', '48b63b74-e14e-4870-aaa8-53a9e18162da', '', NULL),
	(196, '01a22a3a-1a14-7286-8591-a2b92acd1287', '', 'start', 'EVENT', 1, '2026-11-30 02:13:00.565561+00', 0, '', 'b65f9422-4afa-43c3-b931-0edab175169d', '', NULL);
INSERT INTO public.sagas_outbox VALUES
	('01a22a3a-15e0-736a-b381-4a9cd1535863', 3, 'TwoRejected', 'upgrade.Order', 1, 'two', 'rejected', 'bc92612c-4331-49d4-b62c-f4ae68047ed4', '2026-11-30 02:13:00.325248+00', '{"code": "SoldOut", "kind": "rejected", "step": "two"}', 0, '2026-11-30 02:13:00.325256+00'),
	('01a22a3a-15e0-736a-b381-4a9cd1535863', 4, 'OrderTurnedBack', 'upgrade.Order', 1, '', 'rejected', 'bc92612c-4331-49d4-b62c-f4ae68047ed4', '2026-11-30 02:13:00.325278+00', '{"code": "SoldOut", "kind": "rejected", "step": "two"}', 0, '2026-11-30 02:13:00.325281+00'),
	('01a22a3a-112d-7110-b527-84e7ccf36c1c', 6, 'OrderConfirmed', 'upgrade.Order', 1, '', 'confirming', '48b63b74-e14e-4870-aaa8-53a9e18162da', '2026-11-30 02:13:00.55321+00', NULL, 0, '2026-11-30 02:13:00.55321+00'),
	('01a22a3a-1a14-7286-8591-a2b92acd1287', 1, 'OrderStarted', 'upgrade.Order', 1, '', 'placed', 'b65f9422-4afa-43c3-b931-0edab175169d', '2026-11-30 02:13:00.565592+00', NULL, 0, '2026-11-30 02:13:00.565592+00');
INSERT INTO public.sagas_run VALUES
	('01a22a39-b738-76bc-8fc5-463660b3313b', 'upgrade.Order', 1, 'EXECUTING', 0, 0, 1, 'begun', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{}', NULL, 'af691ac9-55c8-4318-a023-b7703eff6df8', '2026-11-30 02:12:35.264114+00', '2026-11-30 02:12:35.278934+00', '2026-11-30 03:12:35.278934+00', '2026-11-30 03:12:35.278934+00', NULL, 0, NULL, NULL, NULL, 1, false, -277144515, NULL),
	('01a22a39-b7db-7362-b117-0055156ee77f', 'upgrade.Order', 1, 'EXECUTING', 1, 0, 0, 'halfway', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, 'b6c39be7-15eb-4cff-b609-e7c665e1ff4e', '2026-11-30 02:12:35.420487+00', '2026-11-30 02:12:35.428016+00', '2026-11-30 03:12:35.428016+00', '2026-11-30 03:12:35.428016+00', NULL, 0, NULL, NULL, NULL, 2, false, -277144515, NULL),
	('01a22a39-b8cf-77db-ad55-85d1b6ab9cfd', 'upgrade.Order', 1, 'EXECUTING', 1, 0, 0, 'done and delivered again', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, 'a72b422b-fe10-4445-9d01-aabfa50e3295', '2026-11-30 02:12:35.664687+00', '2026-11-30 02:12:35.66781+00', '2026-11-30 03:12:35.66781+00', '2026-11-30 03:12:35.66781+00', NULL, 0, NULL, NULL, NULL, 2, false, -277144515, NULL),
	('01a22a39-fc28-7442-8fde-71e14214a2db', 'orders.PlaceOrder', 1, 'COMPENSATING', 3, 0, 0, 'order undoing', '{"slot": 1, "items": [{"sku": "TEA", "quantity": 2, "unit_price_cents": 1500}], "coupon": "order undoing", "order_no": "order undoing", "customer_id": 1, "discount_cents": 500}', '{"apply_coupon": {"discount_cents": 500}}', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": "changed my mind"}', '577b7096-1a2b-45d0-aeaa-7a329c35e9f9', '2026-11-30 02:12:52.90765+00', '2026-11-30 02:12:52.918993+00', '2026-11-30 03:12:52.918993+00', '2026-11-30 03:12:54.322705+00', NULL, 0, NULL, NULL, NULL, 8, false, -280494947, NULL),
	('01a22a39-b9cb-761c-ba45-6002d2799b6b', 'upgrade.Order', 1, 'AWAITING_CONFIRM', 3, 0, 0, 'waiting', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', NULL, 'edcfa6bc-3a30-4796-8425-897535bb6db7', '2026-11-30 02:12:35.916559+00', '2026-11-30 02:12:35.919227+00', '2026-11-30 03:12:35.919227+00', '2026-11-30 03:12:36.919227+00', NULL, 0, NULL, NULL, NULL, 5, false, -277144515, NULL),
	('01a22a39-bb63-76b8-b371-d7f6deeb76ac', 'upgrade.Order', 1, 'AWAITING_CONFIRM', 3, 0, 0, 'half confirmed', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', NULL, '90bef6af-b1a2-4fc7-a794-ee0311f61aa6', '2026-11-30 02:12:36.324547+00', '2026-11-30 02:12:36.328975+00', '2026-11-30 04:12:36.328975+00', '2026-11-30 04:12:37.328975+00', NULL, 0, NULL, NULL, NULL, 5, false, -277144515, NULL),
	('01a22a39-bc7a-75da-91e9-24993cddfa11', 'upgrade.Order', 1, 'CONFIRMING', 2, 0, 0, 'half confirming', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', NULL, '0870cd87-aa98-4264-886b-740cd1a8d05b', '2026-11-30 02:12:36.603178+00', '2026-11-30 02:12:36.611587+00', '2026-11-30 04:12:36.611587+00', '2026-11-30 03:12:37.108327+00', NULL, 0, NULL, NULL, NULL, 7, false, -277144515, NULL),
	('01a22a39-bf53-750c-8c97-fd42d84b146b', 'upgrade.Order', 1, 'COMPENSATING', 2, 0, 0, 'undoing', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": "changed my mind"}', '3dd8ec90-0945-4bf0-907c-ec8486411c83', '2026-11-30 02:12:37.332512+00', '2026-11-30 02:12:37.341409+00', '2026-11-30 03:12:37.341409+00', '2026-11-30 03:12:37.933187+00', NULL, 0, NULL, NULL, NULL, 7, false, -277144515, NULL),
	('01a22a39-c23a-7720-a67a-88b645f98a4c', 'upgrade.Order', 1, 'COMPENSATING', 2, 0, 1, 'to be refunded', '{"key": "", "dies": "", "breaks": [], "rejects": ["three"], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}}', '{"code": "SoldOut", "kind": "rejected", "step": "three", "detail": "three says no"}', 'a191366a-ec2d-447f-b256-3bc578e7a8c4', '2026-11-30 02:12:38.074943+00', '2026-11-30 02:12:38.09437+00', '2026-11-30 03:12:38.09437+00', '2026-11-30 03:12:38.349741+00', NULL, 8, NULL, NULL, NULL, 5, false, -277144515, NULL),
	('01a22a39-c348-773c-9850-8c3621ec112c', 'upgrade.Order', 1, 'SUCCEEDED', 3, 0, 0, 'succeeded', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', NULL, '19670551-2bf6-4a79-b909-91ddc3548344', '2026-11-30 02:12:38.345433+00', '2026-11-30 02:12:38.349823+00', '2026-11-30 04:12:38.349823+00', NULL, '2026-11-30 02:12:38.792976+00', 0, NULL, NULL, NULL, 9, false, -277144515, NULL),
	('01a22a39-fe74-7521-be21-f428cf5215c8', 'orders.PlaceOrder', 1, 'CONFIRMING', 1, 0, 0, 'order confirming', '{"slot": 1, "items": [{"sku": "TEA", "quantity": 2, "unit_price_cents": 1500}], "coupon": "order confirming", "order_no": "order confirming", "customer_id": 1, "discount_cents": 500}', '{"apply_coupon": {"discount_cents": 500}}', NULL, 'f33b716e-7732-4649-bebc-68b2f92bb799', '2026-11-30 02:12:53.493306+00', '2026-11-30 02:12:53.508291+00', '2026-11-30 03:12:53.508291+00', '2026-11-30 03:12:54.322797+00', NULL, 0, NULL, NULL, NULL, 8, false, -280494947, NULL),
	('01a22a39-c580-769c-b468-b5a698026f38', 'upgrade.Order', 1, 'FAILED', 0, 0, 0, 'failed', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}}', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": "changed my mind"}', '15a6573b-ddae-4683-a1af-d0354b640f5b', '2026-11-30 02:12:38.913601+00', '2026-11-30 02:12:38.916516+00', '2026-11-30 03:12:38.916516+00', NULL, '2026-11-30 02:12:39.454457+00', 0, NULL, NULL, NULL, 7, false, -277144515, NULL),
	('01a22a39-c7d1-7494-a2e7-538b0e07d987', 'upgrade.Order', 1, 'EXECUTING', 1, 0, 2, 'interrupted', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '805a23de-6098-4365-bb49-0429ad04375d', '2026-11-30 02:12:39.506169+00', '2026-11-30 02:12:39.510276+00', '2026-11-30 03:12:39.510276+00', '2026-11-30 04:12:39.649344+00', NULL, 0, NULL, NULL, NULL, 2, false, -277144515, NULL),
	('01a22a39-c876-7579-8ee4-fa05e3275270', 'upgrade.Order', 1, 'ESCALATED', 0, 0, 0, 'confirm that breaks', '{"key": "", "dies": "", "breaks": ["one.confirm"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', NULL, 'c51b623a-b930-46a3-b82f-3e7708abaa53', '2026-11-30 02:12:39.670879+00', '2026-11-30 02:12:39.673449+00', '2026-11-30 04:12:39.673449+00', NULL, NULL, 0, NULL, NULL, NULL, 7, false, -277144515, NULL),
	('01a22a3a-02fb-71bf-b285-4fef26b1b3f2', 'upgrade.Breaking', 1, 'ESCALATED', 0, 0, 0, 'broken 1', '{"key": "", "dies": "", "breaks": ["one.confirm"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '733ba9bb-271d-47bc-8c05-a19348ebd472', '2026-11-30 02:12:54.655436+00', '2026-11-30 02:12:54.667894+00', '2026-11-30 03:12:54.667894+00', NULL, NULL, 0, NULL, NULL, NULL, NULL, false, 1563087132, NULL),
	('01a22a3a-0430-7339-b999-9f1405a80454', 'upgrade.Breaking', 1, 'ESCALATED', 0, 0, 0, 'broken 2', '{"key": "", "dies": "", "breaks": ["one.confirm"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '0cf86d1e-2799-4ea4-ad7a-138ad0c422e8', '2026-11-30 02:12:54.961236+00', '2026-11-30 02:12:54.969467+00', '2026-11-30 03:12:54.969467+00', NULL, NULL, 0, NULL, NULL, NULL, NULL, false, 1563087132, NULL),
	('01a22a3a-06cf-7077-b98d-96c0950251a6', 'upgrade.Breaking', 1, 'ESCALATED', 0, 0, 0, 'broken 3', '{"key": "", "dies": "", "breaks": ["one.confirm"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, 'c97aca0e-5e40-4d60-9491-0bfb663c15d9', '2026-11-30 02:12:55.632447+00', '2026-11-30 02:12:55.634733+00', '2026-11-30 03:12:55.634733+00', NULL, NULL, 0, NULL, NULL, NULL, NULL, false, 1563087132, NULL),
	('01a22a39-cc5a-7739-bcb0-44afd0c159d2', 'upgrade.Order', 1, 'ESCALATED', 2, 0, 0, 'undo that breaks', '{"key": "", "dies": "", "breaks": ["two.compensate"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": ""}', '10ec305d-806d-4497-8ae4-b09a62adba4f', '2026-11-30 02:12:40.666772+00', '2026-11-30 02:12:40.674853+00', '2026-11-30 03:12:40.674853+00', NULL, NULL, 0, NULL, NULL, NULL, 8, false, -277144515, NULL),
	('01a22a39-d1f1-7005-b532-99262008d13f', 'upgrade.Order', 1, 'ESCALATED', 3, 0, 0, 'ended by hand', '{"key": "", "dies": "", "breaks": ["three.compensate"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": ""}', '742efebf-927e-418b-a3a3-12b027b689df', '2026-11-30 02:12:42.098063+00', '2026-11-30 02:12:42.108106+00', '2026-11-30 03:12:42.108106+00', NULL, NULL, 0, NULL, NULL, NULL, 7, false, -277144515, NULL),
	('01a22a39-d9eb-75df-a3d2-002f97069f45', 'upgrade.Pivoted', 1, 'ESCALATED', 2, 0, 0, 'broken behind the pivot', '{"key": "", "dies": "", "breaks": ["three.forward"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}}', NULL, '180a61e4-5131-41ff-8489-c45802c323ff', '2026-11-30 02:12:44.139759+00', '2026-11-30 02:12:44.146319+00', NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, false, 541284142, NULL),
	('01a22a39-e11f-72e9-b005-4eeb68dddc03', 'upgrade.Forked', 1, 'EXECUTING', 1, 0, 0, 'accepted', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '5fa60c90-de69-44ff-93db-66654e2a1d02', '2026-11-30 02:12:45.985439+00', '2026-11-30 02:12:45.990581+00', NULL, '2026-11-30 03:12:45.990581+00', NULL, 0, NULL, NULL, '{"right": {"begun": true, "until": 1796091166.288325, "failed": 0, "operation": "forward"}}', NULL, false, 1602210023, NULL),
	('01a22a39-e2f7-71d4-bc9d-61ad545355e5', 'upgrade.Forked', 1, 'EXECUTING', 1, 0, 0, 'forked', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "left": {"by": "left"}}', NULL, '90cd537f-db50-4da2-996d-6bdf6c2e8a92', '2026-11-30 02:12:46.456251+00', '2026-11-30 02:12:46.467233+00', NULL, '2026-11-30 03:12:46.467233+00', NULL, 2, NULL, NULL, NULL, NULL, false, 1602210023, NULL),
	('01a22a39-e558-737e-a77a-db4fcd01aef6', 'upgrade.Changed', 1, 'EXECUTING', 1, 0, 0, 'changed', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, 'a60afc53-e8bd-4d3f-9bea-80a2b839617d', '2026-11-30 02:12:47.065428+00', '2026-11-30 02:12:47.108818+00', NULL, '2026-11-30 03:12:47.108819+00', NULL, 0, NULL, NULL, NULL, NULL, false, 87730852, NULL),
	('01a22a39-e6aa-71e5-90a2-49f81dbe5f8d', 'upgrade.Keyed', 1, 'EXECUTING', 0, 0, 1, 'first in line', '{"key": "table-7", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{}', NULL, '02e8fee2-8b44-43de-ae23-bdfa1d420088', '2026-11-30 02:12:47.406232+00', '2026-11-30 02:12:47.416069+00', '2026-11-30 03:12:47.416069+00', '2026-11-30 03:12:47.416069+00', NULL, 0, NULL, NULL, NULL, NULL, true, -975621029, NULL),
	('1fc2e3e4-08e8-563d-83c2-a0faedea814e', 'upgrade.Child', 1, 'AWAITING_CONFIRM', 1, 0, 0, '', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"inner": {"by": "inner"}}', NULL, 'f3b2120e-d1fd-41ec-b6e2-a198d3bf903c', '2026-11-30 02:12:48.305271+00', '2026-11-30 02:12:48.346234+00', '2026-11-30 03:12:48.346234+00', '2026-11-30 03:12:49.346234+00', NULL, 0, '01a22a39-e8fc-728b-a17e-4cd5247b8e99', 'child', NULL, NULL, false, -1844241472, NULL),
	('01a22a39-e747-7406-b66d-d3767962747a', 'upgrade.Parent', 1, 'EXECUTING', 1, 0, 0, 'child begun', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '2341c659-30f1-4c64-9c9d-45575dd91463', '2026-11-30 02:12:47.560162+00', '2026-11-30 02:12:47.563744+00', NULL, '2026-11-30 02:13:17.761459+00', NULL, 0, NULL, NULL, '{"child": {"begun": true, "until": 1796004797.760405, "failed": 0, "operation": ""}}', NULL, false, -267035869, NULL),
	('05071484-2f9b-555d-a2fa-7194d0852d02', 'upgrade.Child', 1, 'EXECUTING', 0, 0, 1, '', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{}', NULL, '11d437c0-b49a-4fc4-8091-6ae9fb3527e1', '2026-11-30 02:12:47.759336+00', '2026-11-30 02:12:47.905633+00', '2026-11-30 03:12:47.905633+00', '2026-11-30 03:12:47.905633+00', NULL, 0, '01a22a39-e747-7406-b66d-d3767962747a', 'child', NULL, NULL, false, -1844241472, NULL),
	('01a22a3a-0bee-76ab-9104-225cab785a3e', 'upgrade.Breaking', 1, 'CONFIRMING', 0, 0, 0, 'behind a breaker', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, 'a540e46e-0e35-4854-a4b2-9a1749f4cb7d', '2026-11-30 02:12:56.942863+00', '2026-11-30 02:12:56.949165+00', '2026-11-30 03:12:56.949165+00', '2026-11-30 02:13:27.848234+00', NULL, 0, NULL, NULL, NULL, NULL, false, 1563087132, NULL),
	('01a22a39-e6f2-7412-b5dd-8e86d9e3871b', 'upgrade.Keyed', 1, 'PENDING', 0, 0, 0, 'second in line', '{"key": "table-7", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{}', NULL, 'b59c2f89-1624-4d11-81ab-0d26ca4dcbb2', '2026-11-30 02:12:47.481384+00', NULL, NULL, '2026-11-30 02:13:02.972584+00', NULL, 0, NULL, NULL, NULL, NULL, true, -975621029, NULL),
	('01a22a3a-0e7b-761f-9a3f-59e1196dae0e', 'upgrade.Order', 1, 'EXECUTING', 1, 1, 0, 'retrying', '{"key": "", "dies": "", "breaks": ["two.forward"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '19062544-ff8e-4b6b-9cdd-0056f3ec900d', '2026-11-30 02:12:57.596665+00', '2026-11-30 02:12:57.609444+00', '2026-11-30 03:12:57.609444+00', '2026-11-30 02:13:00.853032+00', NULL, 0, NULL, NULL, NULL, 2, false, -277144515, NULL),
	('01a22a39-e8fc-728b-a17e-4cd5247b8e99', 'upgrade.Parent', 1, 'EXECUTING', 1, 0, 1, 'child waiting', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '339d842f-a964-4036-aea9-c7052c0554a2', '2026-11-30 02:12:47.997529+00', '2026-11-30 02:12:48.007337+00', NULL, '2026-11-30 03:12:49.561058+00', NULL, 0, NULL, NULL, '{"child": {"begun": true, "until": 0, "failed": 0, "operation": ""}}', NULL, false, -267035869, NULL),
	('01a22a39-ead3-73d0-9e4c-2fe63cd85db4', 'upgrade.Parent', 1, 'COMPENSATING', 1, 0, 1, 'parent undoing', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": ""}', 'bcc04c5d-355c-4c4c-abf6-8638139c13a3', '2026-11-30 02:12:48.468378+00', '2026-11-30 02:12:48.471777+00', NULL, '2026-11-30 03:12:49.561138+00', NULL, 2, NULL, NULL, '{"child": {"begun": true, "until": 0, "failed": 0, "operation": ""}}', NULL, false, -267035869, NULL),
	('01a22a3a-112d-7110-b527-84e7ccf36c1c', 'upgrade.Order', 1, 'CONFIRMING', 0, 0, 0, 'confirming', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', NULL, '48b63b74-e14e-4870-aaa8-53a9e18162da', '2026-11-30 02:12:58.287764+00', '2026-11-30 02:12:58.30132+00', '2026-11-30 04:12:58.30132+00', '2026-11-30 02:13:00.552279+00', NULL, 0, NULL, NULL, NULL, 6, false, -277144515, NULL),
	('01a22a3a-0ff0-7543-8e14-21119aa06d6c', 'upgrade.Forked', 1, 'EXECUTING', 1, 0, 1, 'branch retrying', '{"key": "", "dies": "", "breaks": ["left.forward"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '8f8610fb-43d4-4775-9095-88f057f433af', '2026-11-30 02:12:57.969188+00', '2026-11-30 02:12:57.973036+00', NULL, '2026-11-30 03:12:59.509153+00', NULL, 0, NULL, NULL, '{"left": {"begun": false, "until": 1796004779.166789, "failed": 1, "operation": ""}}', NULL, false, 1602210023, NULL),
	('01a22a39-f9b1-76fb-82d1-d5f63c2e5070', 'orders.PlaceOrder', 1, 'AWAITING_CONFIRM', 4, 0, 0, 'order waiting', '{"slot": 1, "items": [{"sku": "TEA", "quantity": 2, "unit_price_cents": 1500}], "coupon": "order waiting", "order_no": "order waiting", "customer_id": 1, "discount_cents": 500}', '{"apply_coupon": {"discount_cents": 500}}', NULL, '5c6fe07c-0bfa-4836-b695-4d1d10b484e8', '2026-11-30 02:12:52.274503+00', '2026-11-30 02:12:52.283928+00', '2026-11-30 03:12:52.283928+00', '2026-11-30 03:12:53.283928+00', NULL, 0, NULL, NULL, NULL, 6, false, -280494947, NULL),
	('665df2d0-b511-53c0-81e9-a941dc331216', 'upgrade.Child', 1, 'AWAITING_CONFIRM', 1, 0, 0, '', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"inner": {"by": "inner"}}', NULL, '33c4ff77-1586-451f-b90e-3218742730aa', '2026-11-30 02:12:48.722981+00', '2026-11-30 02:12:48.846476+00', '2026-11-30 03:12:48.846477+00', '2026-11-30 03:12:49.846477+00', NULL, 0, '01a22a39-ead3-73d0-9e4c-2fe63cd85db4', 'child', NULL, NULL, false, -1844241472, NULL),
	('01a22a39-ef69-714e-a623-2e5c4a79b1b0', 'upgrade.Travelling', 1, 'EXECUTING', 1, 0, 0, 'travelling', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '489e9ae7-375a-4c97-b3b0-8030d7a45697', '2026-11-30 02:12:49.642317+00', '2026-11-30 02:12:49.651308+00', '2026-11-30 03:12:49.651308+00', '2026-11-30 03:12:49.651308+00', NULL, 0, NULL, NULL, NULL, NULL, false, -43929257, NULL),
	('01a22a3a-13f3-7264-a0bf-8d20c880c967', 'upgrade.Order', 1, 'AWAITING_CONFIRM', 3, 0, 0, 'late', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', NULL, '3c3d8aab-1a48-481d-8fc9-0927125e7868', '2026-11-30 02:12:58.996458+00', '2026-11-29 23:12:59.001174+00', '2026-11-30 00:12:59.001175+00', '2026-11-30 00:13:00.001175+00', NULL, 0, NULL, NULL, NULL, 5, false, -277144515, NULL),
	('01a22a39-f00c-7288-88d9-0de6756884d6', 'upgrade.Travelling', 1, 'CONFIRMING', 0, 0, 1, 'travelling to its end', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}}', NULL, '548f3986-9764-4c2d-9454-0afb9db16503', '2026-11-30 02:12:49.806339+00', '2026-11-30 02:12:49.816016+00', '2026-11-30 03:12:49.816016+00', '2026-11-30 03:12:50.735397+00', NULL, 0, NULL, NULL, NULL, NULL, false, -43929257, NULL),
	('01a22a3a-15e0-736a-b381-4a9cd1535863', 'upgrade.Order', 1, 'COMPENSATING', 1, 0, 0, 'rejected', '{"key": "", "dies": "", "breaks": [], "rejects": ["two"], "customer": "Lin"}', '{"one": {"by": "one"}}', '{"code": "SoldOut", "kind": "rejected", "step": "two", "detail": "two says no"}', 'bc92612c-4331-49d4-b62c-f4ae68047ed4', '2026-11-30 02:12:59.489103+00', '2026-11-30 02:12:59.511097+00', '2026-11-30 03:12:59.511097+00', '2026-11-30 02:13:00.325048+00', NULL, 0, NULL, NULL, NULL, 4, false, -277144515, NULL),
	('01a22a39-f40d-73d1-bf90-d7fecac3f49b', 'upgrade.Afar', 1, 'EXECUTING', 2, 0, 0, 'afar', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}}', NULL, '2a433512-9846-4081-8d54-b383c38b59ff', '2026-11-30 02:12:50.829795+00', '2026-11-30 02:12:50.836388+00', '2026-11-30 03:12:50.836388+00', '2026-11-30 03:12:50.836388+00', NULL, 0, NULL, NULL, NULL, NULL, false, 479906821, NULL),
	('01a22a39-f571-73e8-a920-5e522cbb3d6c', 'upgrade.Afar', 1, 'EXECUTING', 1, 0, 0, 'done there and not here', '{"key": "", "dies": "two.forward", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '2cd44238-e36e-438c-b702-190605e05810', '2026-11-30 02:12:51.186305+00', '2026-11-30 02:12:51.195921+00', '2026-11-30 03:12:51.195921+00', '2026-11-30 03:12:51.195921+00', NULL, 0, NULL, NULL, NULL, NULL, false, 479906821, NULL),
	('01a22a39-f607-7190-9588-86bff45c4184', 'upgrade.Afar', 1, 'COMPENSATING', 1, 0, 0, 'undone before it was done', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": ""}', 'f3847790-af04-4d5d-89ce-088ffb6e25a1', '2026-11-30 02:12:51.336055+00', '2026-11-30 02:12:51.345807+00', '2026-11-30 03:12:51.345807+00', '2026-11-30 03:12:51.516571+00', NULL, 0, NULL, NULL, NULL, NULL, false, 479906821, NULL),
	('01a22a39-f7a7-7413-8967-8d40c5c3f906', 'orders.PlaceOrder', 1, 'EXECUTING', 2, 0, 0, 'order begun', '{"slot": 1, "items": [{"sku": "TEA", "quantity": 2, "unit_price_cents": 1500}], "coupon": "order begun", "order_no": "order begun", "customer_id": 1, "discount_cents": 500}', '{}', NULL, '758dd684-c875-4cac-aa4a-0bd90a897607', '2026-11-30 02:12:51.752365+00', '2026-11-30 02:12:51.76651+00', '2026-11-30 03:12:51.76651+00', '2026-11-30 03:12:51.76651+00', NULL, 0, NULL, NULL, NULL, 3, false, -280494947, NULL),
	('01a22a3a-16ef-7632-8cd4-61cedc378d0f', 'upgrade.Remote', 1, 'EXECUTING', 1, 0, 0, 'asked', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '3e90f9cb-f2f3-4f7c-9e9f-82108ab950f3', '2026-11-30 02:12:59.760471+00', '2026-11-30 02:12:59.766264+00', NULL, '2026-11-30 02:13:26.473194+00', NULL, 0, NULL, NULL, '{"debit": {"begun": true, "until": 1796004806.472414, "failed": 0, "operation": "forward"}}', NULL, false, 840454535, NULL),
	('01a22a3a-1a14-7286-8591-a2b92acd1287', 'upgrade.Order', 1, 'PENDING', 0, 0, 0, 'placed', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{}', NULL, 'b65f9422-4afa-43c3-b931-0edab175169d', '2026-11-30 02:13:00.565478+00', NULL, NULL, '2026-11-30 02:13:00.565478+00', NULL, 0, NULL, NULL, NULL, 1, false, -277144515, NULL);
INSERT INTO public.upgrade_effect VALUES
	('01a22a39-b7db-7362-b117-0055156ee77f', 'one.forward'),
	('01a22a39-b8cf-77db-ad55-85d1b6ab9cfd', 'one.forward'),
	('01a22a39-b9cb-761c-ba45-6002d2799b6b', 'one.forward'),
	('01a22a39-b9cb-761c-ba45-6002d2799b6b', 'two.forward'),
	('01a22a39-b9cb-761c-ba45-6002d2799b6b', 'three.forward'),
	('01a22a39-bb63-76b8-b371-d7f6deeb76ac', 'one.forward'),
	('01a22a39-bb63-76b8-b371-d7f6deeb76ac', 'two.forward'),
	('01a22a39-bb63-76b8-b371-d7f6deeb76ac', 'three.forward'),
	('01a22a39-bc7a-75da-91e9-24993cddfa11', 'one.forward'),
	('01a22a39-bc7a-75da-91e9-24993cddfa11', 'two.forward'),
	('01a22a39-bc7a-75da-91e9-24993cddfa11', 'three.forward'),
	('01a22a39-bc7a-75da-91e9-24993cddfa11', 'one.confirm'),
	('01a22a39-bf53-750c-8c97-fd42d84b146b', 'one.forward'),
	('01a22a39-bf53-750c-8c97-fd42d84b146b', 'two.forward'),
	('01a22a39-bf53-750c-8c97-fd42d84b146b', 'three.forward'),
	('01a22a39-bf53-750c-8c97-fd42d84b146b', 'three.compensate'),
	('01a22a39-c23a-7720-a67a-88b645f98a4c', 'one.forward'),
	('01a22a39-c23a-7720-a67a-88b645f98a4c', 'two.forward'),
	('01a22a39-c348-773c-9850-8c3621ec112c', 'one.forward'),
	('01a22a39-c348-773c-9850-8c3621ec112c', 'two.forward'),
	('01a22a39-c348-773c-9850-8c3621ec112c', 'three.forward'),
	('01a22a39-c348-773c-9850-8c3621ec112c', 'one.confirm'),
	('01a22a39-c348-773c-9850-8c3621ec112c', 'three.confirm'),
	('01a22a39-c580-769c-b468-b5a698026f38', 'one.forward'),
	('01a22a39-c580-769c-b468-b5a698026f38', 'two.forward'),
	('01a22a39-c580-769c-b468-b5a698026f38', 'two.compensate'),
	('01a22a39-c580-769c-b468-b5a698026f38', 'one.compensate'),
	('01a22a39-c7d1-7494-a2e7-538b0e07d987', 'one.forward'),
	('01a22a39-c876-7579-8ee4-fa05e3275270', 'one.forward'),
	('01a22a39-c876-7579-8ee4-fa05e3275270', 'two.forward'),
	('01a22a39-c876-7579-8ee4-fa05e3275270', 'three.forward'),
	('01a22a39-cc5a-7739-bcb0-44afd0c159d2', 'one.forward'),
	('01a22a39-cc5a-7739-bcb0-44afd0c159d2', 'two.forward'),
	('01a22a39-cc5a-7739-bcb0-44afd0c159d2', 'three.forward'),
	('01a22a39-cc5a-7739-bcb0-44afd0c159d2', 'three.compensate'),
	('01a22a39-d1f1-7005-b532-99262008d13f', 'one.forward'),
	('01a22a39-d1f1-7005-b532-99262008d13f', 'two.forward'),
	('01a22a39-d1f1-7005-b532-99262008d13f', 'three.forward'),
	('01a22a39-d9eb-75df-a3d2-002f97069f45', 'one.forward'),
	('01a22a39-d9eb-75df-a3d2-002f97069f45', 'two.forward'),
	('01a22a39-e11f-72e9-b005-4eeb68dddc03', 'one.forward'),
	('01a22a39-e11f-72e9-b005-4eeb68dddc03', 'right.forward'),
	('01a22a39-e2f7-71d4-bc9d-61ad545355e5', 'one.forward'),
	('01a22a39-e2f7-71d4-bc9d-61ad545355e5', 'left.forward'),
	('01a22a39-e558-737e-a77a-db4fcd01aef6', 'one.forward'),
	('01a22a39-e747-7406-b66d-d3767962747a', 'one.forward'),
	('01a22a39-e8fc-728b-a17e-4cd5247b8e99', 'one.forward'),
	('01a22a39-ead3-73d0-9e4c-2fe63cd85db4', 'one.forward'),
	('1fc2e3e4-08e8-563d-83c2-a0faedea814e', 'inner.forward'),
	('665df2d0-b511-53c0-81e9-a941dc331216', 'inner.forward');
INSERT INTO public.upgrade_effect VALUES
	('01a22a39-ef69-714e-a623-2e5c4a79b1b0', 'one.forward'),
	('01a22a39-f00c-7288-88d9-0de6756884d6', 'one.forward'),
	('01a22a39-f00c-7288-88d9-0de6756884d6', 'two.forward'),
	('01a22a39-f40d-73d1-bf90-d7fecac3f49b', 'one.forward'),
	('01a22a39-f571-73e8-a920-5e522cbb3d6c', 'one.forward'),
	('01a22a39-f607-7190-9588-86bff45c4184', 'one.forward'),
	('01a22a3a-02fb-71bf-b285-4fef26b1b3f2', 'one.forward'),
	('01a22a3a-0430-7339-b999-9f1405a80454', 'one.forward'),
	('01a22a3a-06cf-7077-b98d-96c0950251a6', 'one.forward'),
	('01a22a3a-0bee-76ab-9104-225cab785a3e', 'one.forward'),
	('01a22a3a-0e7b-761f-9a3f-59e1196dae0e', 'one.forward'),
	('01a22a3a-0ff0-7543-8e14-21119aa06d6c', 'one.forward'),
	('01a22a3a-112d-7110-b527-84e7ccf36c1c', 'one.forward'),
	('01a22a3a-112d-7110-b527-84e7ccf36c1c', 'two.forward'),
	('01a22a3a-112d-7110-b527-84e7ccf36c1c', 'three.forward'),
	('01a22a3a-13f3-7264-a0bf-8d20c880c967', 'one.forward'),
	('01a22a3a-13f3-7264-a0bf-8d20c880c967', 'two.forward'),
	('01a22a3a-13f3-7264-a0bf-8d20c880c967', 'three.forward'),
	('01a22a3a-15e0-736a-b381-4a9cd1535863', 'one.forward'),
	('01a22a3a-16ef-7632-8cd4-61cedc378d0f', 'one.forward');
INSERT INTO public.upgrade_made VALUES
	('2026-11-30 02:13:00.707369+00');
SELECT pg_catalog.setval('public.auth_group_id_seq', 1, false);
SELECT pg_catalog.setval('public.auth_group_permissions_id_seq', 1, false);
SELECT pg_catalog.setval('public.auth_permission_id_seq', 182, true);
SELECT pg_catalog.setval('public.auth_user_groups_id_seq', 1, false);
SELECT pg_catalog.setval('public.auth_user_id_seq', 1, true);
SELECT pg_catalog.setval('public.auth_user_user_permissions_id_seq', 1, false);
SELECT pg_catalog.setval('public.axes_accessattempt_id_seq', 1, false);
SELECT pg_catalog.setval('public.axes_accessfailurelog_id_seq', 1, false);
SELECT pg_catalog.setval('public.axes_accesslog_id_seq', 1, false);
SELECT pg_catalog.setval('public.coupons_redemption_id_seq', 3, true);
SELECT pg_catalog.setval('public.delivery_slot_id_seq', 1, true);
SELECT pg_catalog.setval('public.delivery_slothold_id_seq', 3, true);
SELECT pg_catalog.setval('public.django_admin_log_id_seq', 1, false);
SELECT pg_catalog.setval('public.django_content_type_id_seq', 45, true);
SELECT pg_catalog.setval('public.django_migrations_id_seq', 69, true);
SELECT pg_catalog.setval('public.inventory_skuhold_id_seq', 4, true);
SELECT pg_catalog.setval('public.orders_idempotencykey_id_seq', 1, false);
SELECT pg_catalog.setval('public.orders_order_id_seq', 4, true);
SELECT pg_catalog.setval('public.orders_orderline_id_seq', 4, true);
SELECT pg_catalog.setval('public.otp_static_staticdevice_id_seq', 1, false);
SELECT pg_catalog.setval('public.otp_static_statictoken_id_seq', 1, false);
SELECT pg_catalog.setval('public.otp_totp_totpdevice_id_seq', 1, false);
SELECT pg_catalog.setval('public.payments_payment_id_seq', 1, false);
SELECT pg_catalog.setval('public.payments_paymentevent_id_seq', 1, false);
SELECT pg_catalog.setval('public.sagas_breakersample_id_seq', 14, true);
SELECT pg_catalog.setval('public.sagas_confirmation_id_seq', 16, true);
SELECT pg_catalog.setval('public.sagas_definition_id_seq', 50, true);
SELECT pg_catalog.setval('public.sagas_escalation_id_seq', 7, true);
SELECT pg_catalog.setval('public.sagas_lock_id_seq', 4, true);
SELECT pg_catalog.setval('public.sagas_log_id_seq', 196, true);
ALTER TABLE ONLY public.auth_group
    ADD CONSTRAINT auth_group_name_key UNIQUE (name);
ALTER TABLE ONLY public.auth_group_permissions
    ADD CONSTRAINT auth_group_permissions_group_id_permission_id_0cd325b0_uniq UNIQUE (group_id, permission_id);
ALTER TABLE ONLY public.auth_group_permissions
    ADD CONSTRAINT auth_group_permissions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.auth_group
    ADD CONSTRAINT auth_group_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.auth_permission
    ADD CONSTRAINT auth_permission_content_type_id_codename_01ab375a_uniq UNIQUE (content_type_id, codename);
ALTER TABLE ONLY public.auth_permission
    ADD CONSTRAINT auth_permission_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.auth_user_groups
    ADD CONSTRAINT auth_user_groups_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.auth_user_groups
    ADD CONSTRAINT auth_user_groups_user_id_group_id_94350c0c_uniq UNIQUE (user_id, group_id);
ALTER TABLE ONLY public.auth_user
    ADD CONSTRAINT auth_user_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.auth_user_user_permissions
    ADD CONSTRAINT auth_user_user_permissions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.auth_user_user_permissions
    ADD CONSTRAINT auth_user_user_permissions_user_id_permission_id_14a6b632_uniq UNIQUE (user_id, permission_id);
ALTER TABLE ONLY public.auth_user
    ADD CONSTRAINT auth_user_username_key UNIQUE (username);
ALTER TABLE ONLY public.axes_accessattempt
    ADD CONSTRAINT axes_accessattempt_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.axes_accessattempt
    ADD CONSTRAINT axes_accessattempt_username_ip_address_user_agent_8ea22282_uniq UNIQUE (username, ip_address, user_agent);
ALTER TABLE ONLY public.axes_accessattemptexpiration
    ADD CONSTRAINT axes_accessattemptexpiration_pkey PRIMARY KEY (access_attempt_id);
ALTER TABLE ONLY public.axes_accessfailurelog
    ADD CONSTRAINT axes_accessfailurelog_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.axes_accesslog
    ADD CONSTRAINT axes_accesslog_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.coupons_coupon
    ADD CONSTRAINT coupons_coupon_pkey PRIMARY KEY (code);
ALTER TABLE ONLY public.coupons_redemption
    ADD CONSTRAINT coupons_redemption_once UNIQUE (run_id, step);
ALTER TABLE ONLY public.coupons_redemption
    ADD CONSTRAINT coupons_redemption_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.delivery_slot
    ADD CONSTRAINT delivery_slot_once UNIQUE (starts_at, ends_at);
ALTER TABLE ONLY public.delivery_slot
    ADD CONSTRAINT delivery_slot_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.delivery_slothold
    ADD CONSTRAINT delivery_slothold_once UNIQUE (run_id, step, pool_key);
ALTER TABLE ONLY public.delivery_slothold
    ADD CONSTRAINT delivery_slothold_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.django_admin_log
    ADD CONSTRAINT django_admin_log_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.django_content_type
    ADD CONSTRAINT django_content_type_app_label_model_76bd3d3b_uniq UNIQUE (app_label, model);
ALTER TABLE ONLY public.django_content_type
    ADD CONSTRAINT django_content_type_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.django_migrations
    ADD CONSTRAINT django_migrations_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.django_session
    ADD CONSTRAINT django_session_pkey PRIMARY KEY (session_key);
ALTER TABLE ONLY public.inventory_sku
    ADD CONSTRAINT inventory_sku_pkey PRIMARY KEY (code);
ALTER TABLE ONLY public.inventory_skuhold
    ADD CONSTRAINT inventory_skuhold_once UNIQUE (run_id, step, pool_key);
ALTER TABLE ONLY public.inventory_skuhold
    ADD CONSTRAINT inventory_skuhold_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.knox_authtoken
    ADD CONSTRAINT knox_authtoken_pkey PRIMARY KEY (digest);
ALTER TABLE ONLY public.orders_idempotencykey
    ADD CONSTRAINT orders_idempotencykey_once UNIQUE (customer_id, key);
ALTER TABLE ONLY public.orders_idempotencykey
    ADD CONSTRAINT orders_idempotencykey_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.orders_order
    ADD CONSTRAINT orders_order_no_once UNIQUE (order_no);
ALTER TABLE ONLY public.orders_order
    ADD CONSTRAINT orders_order_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.orders_order
    ADD CONSTRAINT orders_order_run_once UNIQUE (run_id);
ALTER TABLE ONLY public.orders_orderline
    ADD CONSTRAINT orders_orderline_once UNIQUE (order_id, sku);
ALTER TABLE ONLY public.orders_orderline
    ADD CONSTRAINT orders_orderline_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.otp_static_staticdevice
    ADD CONSTRAINT otp_static_staticdevice_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.otp_static_statictoken
    ADD CONSTRAINT otp_static_statictoken_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.otp_totp_totpdevice
    ADD CONSTRAINT otp_totp_totpdevice_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.payments_payment
    ADD CONSTRAINT payments_payment_once UNIQUE (payment_id);
ALTER TABLE ONLY public.payments_payment
    ADD CONSTRAINT payments_payment_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.payments_paymentevent
    ADD CONSTRAINT payments_paymentevent_once UNIQUE (webhook_id, digest, outcome);
ALTER TABLE ONLY public.payments_paymentevent
    ADD CONSTRAINT payments_paymentevent_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.sagas_breaker
    ADD CONSTRAINT sagas_breaker_pkey PRIMARY KEY (participant);
ALTER TABLE ONLY public.sagas_breakersample
    ADD CONSTRAINT sagas_breakersample_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.sagas_confirmation
    ADD CONSTRAINT sagas_confirmation_once UNIQUE (run_id, name);
ALTER TABLE ONLY public.sagas_confirmation
    ADD CONSTRAINT sagas_confirmation_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.sagas_definition
    ADD CONSTRAINT sagas_definition_once UNIQUE (saga, version, shape);
ALTER TABLE ONLY public.sagas_definition
    ADD CONSTRAINT sagas_definition_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.sagas_escalation
    ADD CONSTRAINT sagas_escalation_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.sagas_inbox
    ADD CONSTRAINT sagas_inbox_pkey PRIMARY KEY (consumer, event_id);
ALTER TABLE ONLY public.sagas_lock
    ADD CONSTRAINT sagas_lock_once UNIQUE (run_id, key);
ALTER TABLE ONLY public.sagas_lock
    ADD CONSTRAINT sagas_lock_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.sagas_log
    ADD CONSTRAINT sagas_log_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.sagas_outbox
    ADD CONSTRAINT sagas_outbox_pkey PRIMARY KEY (run_id, "position");
ALTER TABLE ONLY public.sagas_run
    ADD CONSTRAINT sagas_run_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.sagas_worker
    ADD CONSTRAINT sagas_worker_pkey PRIMARY KEY (name);
CREATE INDEX auth_group_name_a6ea08ec_like ON public.auth_group USING btree (name varchar_pattern_ops);
CREATE INDEX auth_group_permissions_group_id_b120cbf9 ON public.auth_group_permissions USING btree (group_id);
CREATE INDEX auth_group_permissions_permission_id_84c5c92e ON public.auth_group_permissions USING btree (permission_id);
CREATE INDEX auth_permission_content_type_id_2f476e4b ON public.auth_permission USING btree (content_type_id);
CREATE INDEX auth_user_groups_group_id_97559544 ON public.auth_user_groups USING btree (group_id);
CREATE INDEX auth_user_groups_user_id_6a12ed8b ON public.auth_user_groups USING btree (user_id);
CREATE INDEX auth_user_user_permissions_permission_id_1fbb5f2c ON public.auth_user_user_permissions USING btree (permission_id);
CREATE INDEX auth_user_user_permissions_user_id_a95ead1b ON public.auth_user_user_permissions USING btree (user_id);
CREATE INDEX auth_user_username_6821ab7c_like ON public.auth_user USING btree (username varchar_pattern_ops);
CREATE INDEX axes_accessattempt_ip_address_10922d9c ON public.axes_accessattempt USING btree (ip_address);
CREATE INDEX axes_accessattempt_user_agent_ad89678b ON public.axes_accessattempt USING btree (user_agent);
CREATE INDEX axes_accessattempt_user_agent_ad89678b_like ON public.axes_accessattempt USING btree (user_agent varchar_pattern_ops);
CREATE INDEX axes_accessattempt_username_3f2d4ca0 ON public.axes_accessattempt USING btree (username);
CREATE INDEX axes_accessattempt_username_3f2d4ca0_like ON public.axes_accessattempt USING btree (username varchar_pattern_ops);
CREATE INDEX axes_accessfailurelog_ip_address_2e9f5a7f ON public.axes_accessfailurelog USING btree (ip_address);
CREATE INDEX axes_accessfailurelog_user_agent_ea145dda ON public.axes_accessfailurelog USING btree (user_agent);
CREATE INDEX axes_accessfailurelog_user_agent_ea145dda_like ON public.axes_accessfailurelog USING btree (user_agent varchar_pattern_ops);
CREATE INDEX axes_accessfailurelog_username_a8b7e8a4 ON public.axes_accessfailurelog USING btree (username);
CREATE INDEX axes_accessfailurelog_username_a8b7e8a4_like ON public.axes_accessfailurelog USING btree (username varchar_pattern_ops);
CREATE INDEX axes_accesslog_ip_address_86b417e5 ON public.axes_accesslog USING btree (ip_address);
CREATE INDEX axes_accesslog_user_agent_0e659004 ON public.axes_accesslog USING btree (user_agent);
CREATE INDEX axes_accesslog_user_agent_0e659004_like ON public.axes_accesslog USING btree (user_agent varchar_pattern_ops);
CREATE INDEX axes_accesslog_username_df93064b ON public.axes_accesslog USING btree (username);
CREATE INDEX axes_accesslog_username_df93064b_like ON public.axes_accesslog USING btree (username varchar_pattern_ops);
CREATE INDEX coupons_coupon_code_40174643_like ON public.coupons_coupon USING btree (code varchar_pattern_ops);
CREATE INDEX coupons_coupon_customer_id_0d6138e8 ON public.coupons_coupon USING btree (customer_id);
CREATE UNIQUE INDEX coupons_redemption_one_open ON public.coupons_redemption USING btree (coupon_code) WHERE ((state)::text = 'REDEEMED'::text);
CREATE INDEX django_admin_log_content_type_id_c4bce8eb ON public.django_admin_log USING btree (content_type_id);
CREATE INDEX django_admin_log_user_id_c564eba6 ON public.django_admin_log USING btree (user_id);
CREATE INDEX django_session_expire_date_a5c62663 ON public.django_session USING btree (expire_date);
CREATE INDEX django_session_session_key_c0390e0f_like ON public.django_session USING btree (session_key varchar_pattern_ops);
CREATE INDEX inventory_sku_code_127c8859_like ON public.inventory_sku USING btree (code varchar_pattern_ops);
CREATE INDEX knox_authtoken_digest_188c7e77_like ON public.knox_authtoken USING btree (digest varchar_pattern_ops);
CREATE INDEX knox_authtoken_token_key_8f4f7d47 ON public.knox_authtoken USING btree (token_key);
CREATE INDEX knox_authtoken_token_key_8f4f7d47_like ON public.knox_authtoken USING btree (token_key varchar_pattern_ops);
CREATE INDEX knox_authtoken_user_id_e5a5d899 ON public.knox_authtoken USING btree (user_id);
CREATE INDEX orders_idempotencykey_age ON public.orders_idempotencykey USING btree (created_at);
CREATE INDEX orders_order_of_address ON public.orders_order USING btree (address, id DESC) WHERE (address IS NOT NULL);
CREATE INDEX orders_order_of_customer ON public.orders_order USING btree (customer_id, id DESC);
CREATE INDEX otp_static_staticdevice_user_id_7f9cff2b ON public.otp_static_staticdevice USING btree (user_id);
CREATE INDEX otp_static_statictoken_device_id_74b7c7d1 ON public.otp_static_statictoken USING btree (device_id);
CREATE INDEX otp_static_statictoken_token_d0a51866 ON public.otp_static_statictoken USING btree (token);
CREATE INDEX otp_static_statictoken_token_d0a51866_like ON public.otp_static_statictoken USING btree (token varchar_pattern_ops);
CREATE INDEX otp_totp_totpdevice_user_id_0fb18292 ON public.otp_totp_totpdevice USING btree (user_id);
CREATE INDEX payments_event_of_order ON public.payments_paymentevent USING btree (order_no);
CREATE INDEX payments_event_of_payment ON public.payments_paymentevent USING btree (payment_id);
CREATE INDEX payments_payment_of_order ON public.payments_payment USING btree (order_no);
CREATE INDEX payments_payment_of_run ON public.payments_payment USING btree (run_id);
CREATE UNIQUE INDEX payments_payment_one_taken ON public.payments_payment USING btree (run_id) WHERE ((state)::text = 'TAKEN'::text);
CREATE INDEX sagas_breaker_participant_5ff89cd7_like ON public.sagas_breaker USING btree (participant varchar_pattern_ops);
CREATE INDEX sagas_escalation_notify ON public.sagas_escalation USING btree (notify_at) WHERE (notify_at IS NOT NULL);
CREATE UNIQUE INDEX sagas_escalation_one_open ON public.sagas_escalation USING btree (run_id) WHERE (resolved_at IS NULL);
CREATE INDEX sagas_escalation_run_id_8998ba00 ON public.sagas_escalation USING btree (run_id);
CREATE INDEX sagas_inbox_received ON public.sagas_inbox USING btree (received_at);
CREATE INDEX sagas_lock_line ON public.sagas_lock USING btree (key, ticket);
CREATE UNIQUE INDEX sagas_log_effect_once ON public.sagas_log USING btree (run_id, step, operation, (
CASE
    WHEN ((outcome)::text = 'DONE'::text) THEN (0)::bigint
    ELSE id
END));
CREATE INDEX sagas_outbox_due ON public.sagas_outbox USING btree (due_at);
CREATE INDEX sagas_run_business_key ON public.sagas_run USING btree (business_key);
CREATE INDEX sagas_run_due ON public.sagas_run USING btree (due_at) WHERE (due_at IS NOT NULL);
CREATE INDEX sagas_run_parent ON public.sagas_run USING btree (parent_id) WHERE (parent_id IS NOT NULL);
CREATE INDEX sagas_sample_latest ON public.sagas_breakersample USING btree (participant, at);
CREATE INDEX sagas_worker_name_4796601b_like ON public.sagas_worker USING btree (name varchar_pattern_ops);
CREATE TRIGGER coupons_coupon_keep BEFORE DELETE ON public.coupons_coupon FOR EACH ROW WHEN (old.used) EXECUTE FUNCTION public.coupons_coupon_keep();
CREATE TRIGGER coupons_coupon_keep_key BEFORE UPDATE OF code ON public.coupons_coupon FOR EACH ROW WHEN ((((old.code)::text IS DISTINCT FROM (new.code)::text) AND old.used)) EXECUTE FUNCTION public.coupons_coupon_keep();
CREATE TRIGGER delivery_slot_keep BEFORE DELETE ON public.delivery_slot FOR EACH ROW WHEN (((old.held > 0) OR (old.sold > 0))) EXECUTE FUNCTION public.delivery_slot_keep();
CREATE TRIGGER delivery_slot_keep_key BEFORE UPDATE OF id ON public.delivery_slot FOR EACH ROW WHEN (((old.id IS DISTINCT FROM new.id) AND ((old.held > 0) OR (old.sold > 0)))) EXECUTE FUNCTION public.delivery_slot_keep();
CREATE TRIGGER inventory_sku_keep BEFORE DELETE ON public.inventory_sku FOR EACH ROW WHEN (((old.held > 0) OR (old.sold > 0))) EXECUTE FUNCTION public.inventory_sku_keep();
CREATE TRIGGER inventory_sku_keep_key BEFORE UPDATE OF code ON public.inventory_sku FOR EACH ROW WHEN ((((old.code)::text IS DISTINCT FROM (new.code)::text) AND ((old.held > 0) OR (old.sold > 0)))) EXECUTE FUNCTION public.inventory_sku_keep();
CREATE TRIGGER payments_payment_guard BEFORE UPDATE ON public.payments_payment FOR EACH ROW EXECUTE FUNCTION public.payments_payment_guard();
CREATE TRIGGER payments_paymentevent_guard BEFORE DELETE OR UPDATE ON public.payments_paymentevent FOR EACH ROW EXECUTE FUNCTION public.payments_paymentevent_guard();
CREATE TRIGGER sagas_confirmation_guard BEFORE DELETE OR UPDATE ON public.sagas_confirmation FOR EACH ROW EXECUTE FUNCTION public.sagas_confirmation_guard();
CREATE TRIGGER sagas_confirmation_read_committed BEFORE INSERT ON public.sagas_confirmation FOR EACH STATEMENT WHEN ((current_setting('transaction_isolation'::text) <> ALL (ARRAY['read committed'::text, 'read uncommitted'::text]))) EXECUTE FUNCTION public.sagas_read_committed();
CREATE TRIGGER sagas_confirmation_truncate AFTER TRUNCATE ON public.sagas_confirmation FOR EACH STATEMENT EXECUTE FUNCTION public.sagas_truncate_guard();
CREATE TRIGGER sagas_definition_truncate AFTER TRUNCATE ON public.sagas_definition FOR EACH STATEMENT EXECUTE FUNCTION public.sagas_truncate_guard();
CREATE CONSTRAINT TRIGGER sagas_escalation_of_escalated AFTER INSERT OR DELETE OR UPDATE OF resolved_at, run_id ON public.sagas_escalation DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.sagas_escalation_guard();
CREATE TRIGGER sagas_escalation_truncate AFTER TRUNCATE ON public.sagas_escalation FOR EACH STATEMENT EXECUTE FUNCTION public.sagas_truncate_guard();
CREATE TRIGGER sagas_lock_truncate AFTER TRUNCATE ON public.sagas_lock FOR EACH STATEMENT EXECUTE FUNCTION public.sagas_truncate_guard();
CREATE TRIGGER sagas_log_guard BEFORE DELETE OR UPDATE ON public.sagas_log FOR EACH ROW EXECUTE FUNCTION public.sagas_log_guard();
CREATE TRIGGER sagas_log_truncate AFTER TRUNCATE ON public.sagas_log FOR EACH STATEMENT EXECUTE FUNCTION public.sagas_truncate_guard();
CREATE TRIGGER sagas_run_cursor BEFORE UPDATE OF cursor ON public.sagas_run FOR EACH ROW WHEN (((old.cursor <> new.cursor) AND (NOT
        CASE old.state
            WHEN 'EXECUTING'::text THEN
            CASE new.state
                WHEN 'EXECUTING'::text THEN (new.cursor = ((old.cursor + 1) + bit_count((old.fork)::bit(64))))
                WHEN 'AWAITING_CONFIRM'::text THEN (new.cursor = ((old.cursor + 1) + bit_count((old.fork)::bit(64))))
                WHEN 'COMPENSATING'::text THEN (new.cursor < old.cursor)
                ELSE ((new.state)::text <> 'ESCALATED'::text)
            END
            WHEN 'AWAITING_CONFIRM'::text THEN
            CASE new.state
                WHEN 'COMPENSATING'::text THEN (new.cursor < old.cursor)
                ELSE ((new.state)::text = 'CONFIRMING'::text)
            END
            WHEN 'CONFIRMING'::text THEN (((new.state)::text = ANY ((ARRAY['CONFIRMING'::character varying, 'SUCCEEDED'::character varying])::text[])) AND (new.cursor > old.cursor))
            WHEN 'COMPENSATING'::text THEN (((new.state)::text = ANY ((ARRAY['COMPENSATING'::character varying, 'FAILED'::character varying])::text[])) AND (new.cursor < old.cursor))
            WHEN 'ESCALATED'::text THEN (((new.state)::text = 'COMPENSATING'::text) AND (new.cursor = 0) AND (new.fork <> 0))
            ELSE false
        END))) EXECUTE FUNCTION public.sagas_run_cursor();
CREATE TRIGGER sagas_run_delete BEFORE DELETE ON public.sagas_run FOR EACH ROW WHEN (((old.state)::text <> ALL ((ARRAY['PENDING'::character varying, 'SUCCEEDED'::character varying, 'FAILED'::character varying])::text[]))) EXECUTE FUNCTION public.sagas_run_delete();
CREATE CONSTRAINT TRIGGER sagas_run_escalated AFTER UPDATE OF state ON public.sagas_run DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((((old.state)::text = 'ESCALATED'::text) <> ((new.state)::text = 'ESCALATED'::text))) EXECUTE FUNCTION public.sagas_escalation_guard();
CREATE TRIGGER sagas_run_guard BEFORE UPDATE OF state ON public.sagas_run FOR EACH ROW WHEN (((old.state)::text IS DISTINCT FROM (new.state)::text)) EXECUTE FUNCTION public.sagas_run_guard();
CREATE TRIGGER sagas_run_read_committed BEFORE UPDATE ON public.sagas_run FOR EACH STATEMENT WHEN ((current_setting('transaction_isolation'::text) <> ALL (ARRAY['read committed'::text, 'read uncommitted'::text]))) EXECUTE FUNCTION public.sagas_read_committed();
CREATE TRIGGER sagas_run_unlock AFTER UPDATE OF state ON public.sagas_run FOR EACH ROW WHEN ((new.locked AND ((new.state)::text = ANY ((ARRAY['SUCCEEDED'::character varying, 'FAILED'::character varying])::text[])) AND ((old.state)::text <> (new.state)::text))) EXECUTE FUNCTION public.sagas_run_unlock();
ALTER TABLE ONLY public.auth_group_permissions
    ADD CONSTRAINT auth_group_permissio_permission_id_84c5c92e_fk_auth_perm FOREIGN KEY (permission_id) REFERENCES public.auth_permission(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.auth_group_permissions
    ADD CONSTRAINT auth_group_permissions_group_id_b120cbf9_fk_auth_group_id FOREIGN KEY (group_id) REFERENCES public.auth_group(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.auth_permission
    ADD CONSTRAINT auth_permission_content_type_id_2f476e4b_fk_django_co FOREIGN KEY (content_type_id) REFERENCES public.django_content_type(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.auth_user_groups
    ADD CONSTRAINT auth_user_groups_group_id_97559544_fk_auth_group_id FOREIGN KEY (group_id) REFERENCES public.auth_group(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.auth_user_groups
    ADD CONSTRAINT auth_user_groups_user_id_6a12ed8b_fk_auth_user_id FOREIGN KEY (user_id) REFERENCES public.auth_user(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.auth_user_user_permissions
    ADD CONSTRAINT auth_user_user_permi_permission_id_1fbb5f2c_fk_auth_perm FOREIGN KEY (permission_id) REFERENCES public.auth_permission(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.auth_user_user_permissions
    ADD CONSTRAINT auth_user_user_permissions_user_id_a95ead1b_fk_auth_user_id FOREIGN KEY (user_id) REFERENCES public.auth_user(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.axes_accessattemptexpiration
    ADD CONSTRAINT axes_accessattemptex_access_attempt_id_6b73a47a_fk_axes_acce FOREIGN KEY (access_attempt_id) REFERENCES public.axes_accessattempt(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.coupons_coupon
    ADD CONSTRAINT coupons_coupon_customer_id_0d6138e8_fk_auth_user_id FOREIGN KEY (customer_id) REFERENCES public.auth_user(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.django_admin_log
    ADD CONSTRAINT django_admin_log_content_type_id_c4bce8eb_fk_django_co FOREIGN KEY (content_type_id) REFERENCES public.django_content_type(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.django_admin_log
    ADD CONSTRAINT django_admin_log_user_id_c564eba6_fk_auth_user_id FOREIGN KEY (user_id) REFERENCES public.auth_user(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.knox_authtoken
    ADD CONSTRAINT knox_authtoken_user_id_e5a5d899_fk_auth_user_id FOREIGN KEY (user_id) REFERENCES public.auth_user(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.orders_idempotencykey
    ADD CONSTRAINT orders_idempotencykey_customer_id_f77f7fcd_fk_auth_user_id FOREIGN KEY (customer_id) REFERENCES public.auth_user(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.orders_order
    ADD CONSTRAINT orders_order_customer_id_0b76f6a4_fk_auth_user_id FOREIGN KEY (customer_id) REFERENCES public.auth_user(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.otp_static_staticdevice
    ADD CONSTRAINT otp_static_staticdevice_user_id_7f9cff2b_fk_auth_user_id FOREIGN KEY (user_id) REFERENCES public.auth_user(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.otp_static_statictoken
    ADD CONSTRAINT otp_static_statictok_device_id_74b7c7d1_fk_otp_stati FOREIGN KEY (device_id) REFERENCES public.otp_static_staticdevice(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.otp_totp_totpdevice
    ADD CONSTRAINT otp_totp_totpdevice_user_id_0fb18292_fk_auth_user_id FOREIGN KEY (user_id) REFERENCES public.auth_user(id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ONLY public.sagas_escalation
    ADD CONSTRAINT sagas_escalation_run_id_8998ba00_fk_sagas_run_id FOREIGN KEY (run_id) REFERENCES public.sagas_run(id) DEFERRABLE INITIALLY DEFERRED;
