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
	(1, '', NULL, false, 'lin', '', '', '', false, true, '2026-11-30 03:01:55.636349+00');
INSERT INTO public.coupons_coupon VALUES
	('order begun', 500, '2027-09-27 03:01:55.636195+00', false, 1, true),
	('order waiting', 500, '2027-09-27 03:01:55.636195+00', true, 1, true),
	('order undoing', 500, '2027-09-27 03:01:55.636195+00', true, 1, true),
	('order confirming', 500, '2027-09-27 03:01:55.636195+00', true, 1, true);
INSERT INTO public.coupons_redemption VALUES
	(1, '01a22a67-2744-742d-b24e-f92d06d8b99a', 'apply_coupon', 'order waiting', 500, 'REDEEMED', NULL),
	(2, '01a22a67-2a52-71b8-824c-769edc80ee9c', 'apply_coupon', 'order undoing', 500, 'REDEEMED', NULL),
	(3, '01a22a67-2d28-7723-9253-e41245599a7e', 'apply_coupon', 'order confirming', 500, 'REDEEMED', NULL);
INSERT INTO public.delivery_slot VALUES
	(98, 2, 0, 1, '2026-12-01 03:01:55.636195+00', '2026-12-01 05:01:55.636195+00', true);
INSERT INTO public.delivery_slothold VALUES
	(1, '01a22a67-2744-742d-b24e-f92d06d8b99a', 'schedule_delivery', '1', 1, 'HELD'),
	(3, '01a22a67-2d28-7723-9253-e41245599a7e', 'schedule_delivery', '1', 1, 'HELD'),
	(2, '01a22a67-2a52-71b8-824c-769edc80ee9c', 'schedule_delivery', '1', 1, 'CANCELLED');
INSERT INTO public.django_migrations VALUES
	(1, 'contenttypes', '0001_initial', '2026-11-30 03:01:51.548262+00'),
	(2, 'auth', '0001_initial', '2026-11-30 03:01:51.636458+00'),
	(3, 'admin', '0001_initial', '2026-11-30 03:01:51.659262+00'),
	(4, 'admin', '0002_logentry_remove_auto_add', '2026-11-30 03:01:51.667459+00'),
	(5, 'admin', '0003_logentry_add_action_flag_choices', '2026-11-30 03:01:51.679806+00'),
	(6, 'contenttypes', '0002_remove_content_type_name', '2026-11-30 03:01:51.709732+00'),
	(7, 'auth', '0002_alter_permission_name_max_length', '2026-11-30 03:01:51.719394+00'),
	(8, 'auth', '0003_alter_user_email_max_length', '2026-11-30 03:01:51.733024+00'),
	(9, 'auth', '0004_alter_user_username_opts', '2026-11-30 03:01:51.743755+00'),
	(10, 'auth', '0005_alter_user_last_login_null', '2026-11-30 03:01:51.75399+00'),
	(11, 'auth', '0006_require_contenttypes_0002', '2026-11-30 03:01:51.761176+00'),
	(12, 'auth', '0007_alter_validators_add_error_messages', '2026-11-30 03:01:51.767298+00'),
	(13, 'auth', '0008_alter_user_username_max_length', '2026-11-30 03:01:51.780505+00'),
	(14, 'auth', '0009_alter_user_last_name_max_length', '2026-11-30 03:01:51.791339+00'),
	(15, 'auth', '0010_alter_group_name_max_length', '2026-11-30 03:01:51.799482+00'),
	(16, 'auth', '0011_update_proxy_permissions', '2026-11-30 03:01:51.810121+00'),
	(17, 'auth', '0012_alter_user_first_name_max_length', '2026-11-30 03:01:51.822523+00'),
	(18, 'axes', '0001_initial', '2026-11-30 03:01:51.84533+00'),
	(19, 'axes', '0002_auto_20151217_2044', '2026-11-30 03:01:51.896043+00'),
	(20, 'axes', '0003_auto_20160322_0929', '2026-11-30 03:01:51.906885+00'),
	(21, 'axes', '0004_auto_20181024_1538', '2026-11-30 03:01:51.926874+00'),
	(22, 'axes', '0005_remove_accessattempt_trusted', '2026-11-30 03:01:51.936572+00'),
	(23, 'axes', '0006_remove_accesslog_trusted', '2026-11-30 03:01:51.946055+00'),
	(24, 'axes', '0007_alter_accessattempt_unique_together', '2026-11-30 03:01:51.975267+00'),
	(25, 'axes', '0008_accessfailurelog', '2026-11-30 03:01:52.003237+00'),
	(26, 'axes', '0009_add_session_hash', '2026-11-30 03:01:52.009123+00'),
	(27, 'axes', '0010_accessattemptexpiration', '2026-11-30 03:01:52.023194+00'),
	(28, 'coupons', '0001_initial', '2026-11-30 03:01:52.059239+00'),
	(29, 'coupons', '0002_in_use', '2026-11-30 03:01:52.093318+00'),
	(30, 'delivery', '0001_initial', '2026-11-30 03:01:52.115436+00'),
	(31, 'delivery', '0002_in_use', '2026-11-30 03:01:52.124966+00'),
	(32, 'inventory', '0001_initial', '2026-11-30 03:01:52.148318+00'),
	(33, 'inventory', '0002_in_use', '2026-11-30 03:01:52.155505+00'),
	(34, 'knox', '0001_initial', '2026-11-30 03:01:52.183208+00'),
	(35, 'knox', '0002_auto_20150916_1425', '2026-11-30 03:01:52.22733+00'),
	(36, 'knox', '0003_auto_20150916_1526', '2026-11-30 03:01:52.248913+00'),
	(37, 'knox', '0004_authtoken_expires', '2026-11-30 03:01:52.26335+00'),
	(38, 'knox', '0005_authtoken_token_key', '2026-11-30 03:01:52.287215+00'),
	(39, 'knox', '0006_auto_20160818_0932', '2026-11-30 03:01:52.321392+00'),
	(40, 'knox', '0007_auto_20190111_0542', '2026-11-30 03:01:52.335955+00'),
	(41, 'knox', '0008_remove_authtoken_salt', '2026-11-30 03:01:52.347476+00'),
	(42, 'knox', '0009_extend_authtoken_field', '2026-11-30 03:01:52.364515+00'),
	(43, 'orders', '0001_initial', '2026-11-30 03:01:52.495337+00'),
	(44, 'orders', '0002_idempotencykey_age', '2026-11-30 03:01:52.523282+00'),
	(45, 'orders', '0003_total_at_acceptance', '2026-11-30 03:01:52.53643+00'),
	(46, 'orders', '0004_open_orders', '2026-11-30 03:01:52.571285+00'),
	(47, 'otp_static', '0001_initial', '2026-11-30 03:01:52.631269+00'),
	(48, 'otp_static', '0002_throttling', '2026-11-30 03:01:52.660612+00'),
	(49, 'otp_static', '0003_add_timestamps', '2026-11-30 03:01:52.691746+00'),
	(50, 'otp_totp', '0001_initial', '2026-11-30 03:01:52.855577+00');
INSERT INTO public.django_migrations VALUES
	(51, 'otp_totp', '0002_auto_20190420_0723', '2026-11-30 03:01:52.888993+00'),
	(52, 'otp_totp', '0003_add_timestamps', '2026-11-30 03:01:52.913143+00'),
	(53, 'payments', '0001_initial', '2026-11-30 03:01:52.959343+00'),
	(54, 'payments', '0002_guards', '2026-11-30 03:01:52.967654+00'),
	(55, 'sagas', '0001_initial', '2026-11-30 03:01:53.060913+00'),
	(56, 'sagas', '0002_guards', '2026-11-30 03:01:53.065268+00'),
	(57, 'sagas', '0003_escalation', '2026-11-30 03:01:53.15487+00'),
	(58, 'sagas', '0004_branches', '2026-11-30 03:01:53.188698+00'),
	(59, 'sagas', '0005_outbox', '2026-11-30 03:01:53.215468+00'),
	(60, 'sagas', '0006_locks', '2026-11-30 03:01:53.247265+00'),
	(61, 'sagas', '0007_intent', '2026-11-30 03:01:53.252552+00'),
	(62, 'sagas', '0008_data', '2026-11-30 03:01:53.273173+00'),
	(63, 'sagas', '0009_barrier', '2026-11-30 03:01:53.279824+00'),
	(64, 'sagas', '0010_integrity', '2026-11-30 03:01:53.289368+00'),
	(65, 'sagas', '0011_workers', '2026-11-30 03:01:53.303709+00'),
	(66, 'sagas', '0012_resolved', '2026-11-30 03:01:53.308277+00'),
	(67, 'sagas', '0013_read_committed', '2026-11-30 03:01:53.312143+00'),
	(68, 'sagas', '0014_held', '2026-11-30 03:01:53.320556+00'),
	(69, 'sessions', '0001_initial', '2026-11-30 03:01:53.343264+00');
INSERT INTO public.inventory_sku VALUES
	(92, 8, 0, 'TEA', 'Tea', 1500, true);
INSERT INTO public.inventory_skuhold VALUES
	(1, '01a22a67-255b-7672-9272-6b9083130dc6', 'reserve_inventory', 'TEA', 2, 'HELD'),
	(2, '01a22a67-2744-742d-b24e-f92d06d8b99a', 'reserve_inventory', 'TEA', 2, 'HELD'),
	(3, '01a22a67-2a52-71b8-824c-769edc80ee9c', 'reserve_inventory', 'TEA', 2, 'HELD'),
	(4, '01a22a67-2d28-7723-9253-e41245599a7e', 'reserve_inventory', 'TEA', 2, 'HELD');
INSERT INTO public.orders_order VALUES
	(1, 'order begun', '01a22a67-255b-7672-9272-6b9083130dc6', 'PLACED', 1, 'order begun', 500, 2500, '2026-11-30 03:02:12.58738+00', 1, NULL),
	(2, 'order waiting', '01a22a67-2744-742d-b24e-f92d06d8b99a', 'PLACED', 1, 'order waiting', 500, 2500, '2026-11-30 03:02:13.071172+00', 1, NULL),
	(3, 'order undoing', '01a22a67-2a52-71b8-824c-769edc80ee9c', 'PLACED', 1, 'order undoing', 500, 2500, '2026-11-30 03:02:13.849757+00', 1, NULL),
	(4, 'order confirming', '01a22a67-2d28-7723-9253-e41245599a7e', 'CONFIRMED', 1, 'order confirming', 500, 2500, '2026-11-30 03:02:14.578558+00', 1, NULL);
INSERT INTO public.orders_orderline VALUES
	(1, 'TEA', 2, 1500, 1),
	(2, 'TEA', 2, 1500, 2),
	(3, 'TEA', 2, 1500, 3),
	(4, 'TEA', 2, 1500, 4);
INSERT INTO public.sagas_breaker VALUES
	('upgrade.Breaking.one', 'one', '2026-11-30 03:02:16.758293+00', NULL, '2026-11-30 03:02:46.758293+00', NULL, '', 6, 6);
INSERT INTO public.sagas_breakersample VALUES
	(1, 'upgrade.Order.one', '2026-11-30 03:02:00.418141+00', 0, 1),
	(2, 'upgrade.Order.one', '2026-11-30 03:02:00.623914+00', 0, 1),
	(3, 'upgrade.Order.one', '2026-11-30 03:02:00.79704+00', 0, 1),
	(4, 'upgrade.Order.one', '2026-11-30 03:02:00.98138+00', 0, 1),
	(5, 'upgrade.Order.two', '2026-11-30 03:02:02.704034+00', 0, 1),
	(6, 'upgrade.Order.two', '2026-11-30 03:02:03.07763+00', 0, 1),
	(7, 'upgrade.Order.two', '2026-11-30 03:02:03.444454+00', 0, 1),
	(8, 'upgrade.Order.two', '2026-11-30 03:02:03.859832+00', 0, 1),
	(9, 'upgrade.Order.three', '2026-11-30 03:02:05.076688+00', 0, 1),
	(10, 'upgrade.Order.three', '2026-11-30 03:02:05.486642+00', 0, 1),
	(11, 'upgrade.Order.three', '2026-11-30 03:02:05.926118+00', 0, 1),
	(12, 'upgrade.Order.three', '2026-11-30 03:02:06.356787+00', 0, 1),
	(13, 'upgrade.Breaking.one', '2026-11-30 03:02:16.620514+00', 0, 3),
	(14, 'upgrade.Breaking.one', '2026-11-30 03:02:16.756531+00', 0, 3);
INSERT INTO public.sagas_confirmation VALUES
	(1, '01a22a66-e5d7-75cc-8a75-a2e62299a38d', 'approval', '{"by": "mei"}', '2026-11-30 03:01:56.506729+00'),
	(2, '01a22a66-e6a1-76c5-b073-b642048ae761', 'approval', '{"by": "mei"}', '2026-11-30 03:01:56.840812+00'),
	(3, '01a22a66-e6a1-76c5-b073-b642048ae761', 'payment', '{"by": "mei"}', '2026-11-30 03:01:56.85091+00'),
	(4, '01a22a66-ea8f-7296-8e33-1bd31736ee0f', 'payment', '{"payment_id": "P-1"}', '2026-11-30 03:01:57.524388+00'),
	(5, '01a22a66-ec6b-7351-8c8f-13115a31e835', 'approval', '{"by": "mei"}', '2026-11-30 03:01:58.499542+00'),
	(6, '01a22a66-ec6b-7351-8c8f-13115a31e835', 'payment', '{"by": "mei"}', '2026-11-30 03:01:58.512215+00'),
	(7, '01a22a66-f38a-76a5-a0b4-fa14df63862e', 'approval', '{"by": "mei"}', '2026-11-30 03:02:00.131598+00'),
	(8, '01a22a66-f38a-76a5-a0b4-fa14df63862e', 'payment', '{"by": "mei"}', '2026-11-30 03:02:00.133817+00'),
	(9, '01a22a67-1e6a-7518-85a0-57f9caa4397c', 'approval', '{"by": "mei"}', '2026-11-30 03:02:11.172385+00'),
	(10, '01a22a67-2d28-7723-9253-e41245599a7e', 'payment', '{"payment_id": "P-2"}', '2026-11-30 03:02:15.249726+00'),
	(11, '01a22a67-3107-7512-b42c-ac18af70d56f', 'approval', '{"by": "mei"}', '2026-11-30 03:02:15.906146+00'),
	(12, '01a22a67-32d8-760a-a240-0c1a0fcad3d1', 'approval', '{"by": "mei"}', '2026-11-30 03:02:16.180909+00'),
	(13, '01a22a67-33a5-7585-948a-bb02479bc101', 'approval', '{"by": "mei"}', '2026-11-30 03:02:16.343437+00'),
	(14, '01a22a67-3641-7245-a44f-e5bc3dfa3339', 'approval', '{}', '2026-11-30 03:02:17.023103+00'),
	(15, '01a22a67-38d9-70d1-a548-21d6d02a697b', 'approval', '{}', '2026-11-30 03:02:19.346188+00'),
	(16, '01a22a67-38d9-70d1-a548-21d6d02a697b', 'payment', '{}', '2026-11-30 03:02:19.355865+00');
INSERT INTO public.sagas_definition VALUES
	(1, 'lab.AskedChild', 1, -304745169, '{"forks": [], "pivot": 1, "steps": [{"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 03:01:55.718471+00'),
	(2, 'lab.AskedGuardian', 1, -531668263, '{"forks": [], "pivot": 1, "steps": [{"name": "child", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.718717+00'),
	(3, 'lab.Carry', 1, -2135574, '{"forks": [], "pivot": 3, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "receipt", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 03:01:55.718724+00'),
	(4, 'lab.Charged', 1, -1279657547, '{"forks": [], "pivot": 2, "steps": [{"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "two", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.718732+00'),
	(5, 'lab.Child', 1, -1004033665, '{"forks": [], "pivot": 2, "steps": [{"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.718736+00'),
	(6, 'lab.Closing', 1, 1060578037, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": {"name": "approval", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate"}}, "within": null, "personal": []}, {"name": "payment", "refund": {"name": "payment", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate"}}, "within": 60.0, "personal": []}]}', '2026-11-30 03:01:55.71874+00'),
	(7, 'lab.Forked', 1, 1026997996, '{"forks": [[1, 4]], "pivot": 5, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "left", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "right", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": {"name": "approval", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate"}}, "within": 30.0, "personal": []}]}', '2026-11-30 03:01:55.718744+00'),
	(8, 'lab.Guardian', 1, 1280013004, '{"forks": [], "pivot": 4, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "child", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "four", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "five", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.718747+00'),
	(9, 'lab.Hopeless', 1, -74444619, '{"forks": [], "pivot": 4, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "charge", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.718751+00'),
	(10, 'lab.Host', 1, -380327540, '{"forks": [], "pivot": 3, "steps": [{"name": "greet", "queue": "orders", "database": "", "personal": [["card", "holder"]], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "note", "queue": "coupons", "database": "", "personal": [[]], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "seat", "queue": "delivery", "database": "", "personal": [["card", "holder"]], "elsewhere": false, "operations": {"forward": "forward"}}], "personal": [["guests", "*", "name"], ["phone"]], "confirmations": [{"name": "payment", "refund": null, "within": 30.0, "personal": [["payer", "name"]]}]}', '2026-11-30 03:01:55.718755+00'),
	(11, 'lab.Hurried', 1, 87730852, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.718759+00'),
	(12, 'lab.Impatient', 1, -975621029, '{"forks": [], "pivot": 1, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 03:01:55.71885+00'),
	(13, 'lab.Keyed', 1, 87730852, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.718855+00'),
	(14, 'lab.KeyedParent', 1, 1179375530, '{"forks": [[0, 2]], "pivot": 2, "steps": [{"name": "left", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "right", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 03:01:55.718859+00'),
	(15, 'lab.KeyedTillApproved', 1, 1563087132, '{"forks": [], "pivot": 1, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 03:01:55.718863+00'),
	(16, 'lab.Lab', 1, -2031345948, '{"forks": [], "pivot": 4, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 03:01:55.718866+00'),
	(17, 'lab.Labelled', 1, 1004881783, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.71887+00'),
	(18, 'lab.Parent', 1, 379627295, '{"forks": [[1, 3]], "pivot": 4, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "child", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "asked", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "payment", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 03:01:55.718873+00'),
	(19, 'lab.Party', 1, -1711781854, '{"forks": [], "pivot": 4, "steps": [{"name": "greet", "queue": "orders", "database": "", "personal": [["card", "holder"]], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "note", "queue": "coupons", "database": "", "personal": [[]], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "ride", "queue": "delivery", "database": "", "personal": [["results", "greet", "card", "holder"]], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "wish", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}], "personal": [["guests", "*", "name"], ["phone"]], "confirmations": [{"name": "payment", "refund": {"name": "payment", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate"}}, "within": 30.0, "personal": [["payer", "name"]]}]}', '2026-11-30 03:01:55.718877+00'),
	(20, 'lab.Pivoted', 1, -457705398, '{"forks": [[3, 5]], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "left", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "right", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 03:01:55.718881+00'),
	(44, 'upgrade.Forked', 1, 1602210023, '{"forks": [[1, 3]], "pivot": 4, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "left", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "right", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "four", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [["customer"]], "confirmations": []}', '2026-11-30 03:01:55.718998+00'),
	(21, 'lab.Promised', 1, 271114077, '{"forks": [[1, 3]], "pivot": 4, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "held", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "left", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 03:01:55.718884+00'),
	(22, 'lab.Reported', 1, -53835403, '{"forks": [[2, 4]], "pivot": 5, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "left", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "four", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.718902+00'),
	(23, 'lab.Rewarded', 1, 345839794, '{"forks": [], "pivot": 3, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "debit", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.718906+00'),
	(24, 'lab.Ride', 1, -963276170, '{"forks": [], "pivot": 1, "steps": [{"name": "greet", "queue": "orders", "database": "", "personal": [["card", "holder"]], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [["guests", "*", "name"], ["phone"]], "confirmations": []}', '2026-11-30 03:01:55.718909+00'),
	(25, 'lab.ShortLab', 1, 1904378707, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 1.5, "personal": []}]}', '2026-11-30 03:01:55.718912+00'),
	(26, 'lab.Telling', 1, 1983981639, '{"forks": [], "pivot": 3, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 03:01:55.718916+00'),
	(27, 'lab.Told', 1, 463704053, '{"forks": [], "pivot": 1, "steps": [{"name": "debit", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.718919+00'),
	(28, 'lab.Twice', 1, 1004704930, '{"forks": [], "pivot": 1, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}, {"name": "payment", "refund": null, "within": 60.0, "personal": []}]}', '2026-11-30 03:01:55.718922+00'),
	(29, 'lab.Unconfirmed', 1, 87730852, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.718925+00'),
	(30, 'lab.Ward', 1, 2122214401, '{"forks": [], "pivot": 2, "steps": [{"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "three", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.718929+00'),
	(31, 'loyalty.Afar', 1, -565680888, '{"forks": [], "pivot": 5, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "four", "queue": "delivery", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "five", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": [{"name": "approval", "refund": null, "within": 30.0, "personal": []}]}', '2026-11-30 03:01:55.718932+00'),
	(45, 'upgrade.Keyed', 1, -975621029, '{"forks": [], "pivot": 1, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [["customer"]], "confirmations": [{"name": "approval", "refund": null, "within": 3600.0, "personal": []}]}', '2026-11-30 03:01:55.719001+00'),
	(32, 'loyalty.AfarForked', 1, -966657802, '{"forks": [[1, 5]], "pivot": 6, "steps": [{"name": "one", "queue": "orders", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "inventory", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "jar", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "left", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.718936+00'),
	(33, 'loyalty.AfarPatient', 1, -1013559398, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.718953+00'),
	(34, 'loyalty.AfarReported', 1, 706281749, '{"forks": [], "pivot": 1, "steps": [{"name": "one", "queue": "orders", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.718957+00'),
	(35, 'loyalty.Astray', 1, 1747861883, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "orders", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.71896+00'),
	(36, 'loyalty.Membership', 1, 406764168, '{"forks": [], "pivot": 2, "steps": [{"name": "enrolled", "queue": "orders", "database": "loyalty", "personal": [["card", "holder"]], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "welcomed", "queue": "orders", "database": "loyalty", "personal": [["card", "holder"]], "elsewhere": true, "operations": {"forward": "forward"}}], "personal": [["guests", "*", "name"], ["phone"]], "confirmations": []}', '2026-11-30 03:01:55.718964+00'),
	(37, 'loyalty.Tied', 1, 261221133, '{"forks": [], "pivot": 1, "steps": [{"name": "one", "queue": "orders", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.718971+00'),
	(38, 'orders.PlaceOrder', 1, -280494947, '{"forks": [], "pivot": 4, "steps": [{"name": "create_order", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "reserve_inventory", "queue": "inventory", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}, {"name": "apply_coupon", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "schedule_delivery", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "cancel", "confirm": "confirm", "forward": "try"}}], "personal": [], "confirmations": [{"name": "payment", "refund": {"name": "payment", "queue": "payments", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate"}}, "within": 3600.0, "personal": []}]}', '2026-11-30 03:01:55.718975+00'),
	(39, 'payments.ReturnPayment', 1, 1403205034, '{"forks": [], "pivot": 1, "steps": [{"name": "begin", "queue": "payments", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "return_money", "queue": "payments", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}], "personal": [], "confirmations": []}', '2026-11-30 03:01:55.718979+00'),
	(40, 'upgrade.Afar', 1, 479906821, '{"forks": [], "pivot": 3, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "three", "queue": "delivery", "database": "loyalty", "personal": [], "elsewhere": true, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [["customer"]], "confirmations": [{"name": "approval", "refund": null, "within": 3600.0, "personal": []}]}', '2026-11-30 03:01:55.718982+00'),
	(41, 'upgrade.Breaking', 1, 1563087132, '{"forks": [], "pivot": 1, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}], "personal": [["customer"]], "confirmations": [{"name": "approval", "refund": null, "within": 3600.0, "personal": []}]}', '2026-11-30 03:01:55.718985+00'),
	(42, 'upgrade.Changed', 1, 87730852, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [["customer"]], "confirmations": []}', '2026-11-30 03:01:55.718991+00'),
	(43, 'upgrade.Child', 1, -1844241472, '{"forks": [], "pivot": 1, "steps": [{"name": "inner", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}], "personal": [["customer"]], "confirmations": [{"name": "approval", "refund": null, "within": 3600.0, "personal": []}]}', '2026-11-30 03:01:55.718994+00'),
	(46, 'upgrade.Order', 1, -277144515, '{"forks": [], "pivot": 3, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "three", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}], "personal": [["customer"]], "confirmations": [{"name": "approval", "refund": null, "within": 3600.0, "personal": []}, {"name": "payment", "refund": {"name": "payment", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate"}}, "within": 7200.0, "personal": []}]}', '2026-11-30 03:01:55.719004+00'),
	(47, 'upgrade.Parent', 1, -267035869, '{"forks": [], "pivot": 3, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "child", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "four", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [["customer"]], "confirmations": []}', '2026-11-30 03:01:55.720659+00'),
	(48, 'upgrade.Pivoted', 1, 541284142, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}, {"name": "three", "queue": "delivery", "database": "", "personal": [], "elsewhere": false, "operations": {"forward": "forward"}}], "personal": [["customer"]], "confirmations": []}', '2026-11-30 03:01:55.720672+00'),
	(49, 'upgrade.Remote', 1, 840454535, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}, {"name": "debit", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [["customer"]], "confirmations": []}', '2026-11-30 03:01:55.720676+00'),
	(50, 'upgrade.Travelling', 1, -43929257, '{"forks": [], "pivot": 2, "steps": [{"name": "one", "queue": "orders", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "confirm": "confirm", "forward": "forward"}}, {"name": "two", "queue": "coupons", "database": "", "personal": [], "elsewhere": false, "operations": {"undo": "compensate", "forward": "forward"}}], "personal": [["customer"]], "confirmations": [{"name": "approval", "refund": null, "within": 3600.0, "personal": []}]}', '2026-11-30 03:01:55.72068+00');
INSERT INTO public.sagas_escalation VALUES
	(2, 'COMPENSATING', 'two', 'compensate', '{"code": "Broken", "kind": "fault", "step": "two", "detail": "two.compensate is broken"}', '2026-11-30 03:02:03.8608+00', NULL, '', '', '', '01a22a66-f903-749e-85a8-fa026c8a8145', 'The undo of two.compensate keeps failing. Mend its cause, then resume: it goes on with this undo. Resolve as FAILED only if this step, and every step before it, has been undone by hand.', 'bo', '2026-11-30 03:02:06.496136+00', 'mei', NULL, 0, 0),
	(1, 'CONFIRMING', 'one', 'confirm', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}', '2026-11-30 03:02:00.982478+00', NULL, '', '', '', '01a22a66-f38a-76a5-a0b4-fa14df63862e', 'The run is past its confirmation and only goes forward, and one.confirm keeps failing. Mend its cause, then resume. Resolve as SUCCEEDED only if all that is left has been confirmed by hand.', '', NULL, '', '2026-11-30 03:02:37.213278+00', 1, 0),
	(3, 'COMPENSATING', 'three', 'compensate', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.compensate is broken"}', '2026-11-30 03:02:06.359369+00', NULL, '', '', '', '01a22a67-047c-75f1-9d2b-4656ca14de88', 'The undo of three.compensate keeps failing. Mend its cause, then resume: it goes on with this undo. Resolve as FAILED only if this step, and every step before it, has been undone by hand.', '', NULL, '', '2026-11-30 03:02:37.213337+00', 1, 0),
	(4, 'CONFIRMING', 'three', 'forward', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.forward is broken"}', '2026-11-30 03:02:07.146222+00', NULL, '', '', '', '01a22a67-0dac-760f-8760-aaba717ac965', 'The run is past its confirmation and only goes forward, and three.forward keeps failing. Mend its cause, then resume. Resolve as SUCCEEDED only if all that is left has been confirmed by hand.', '', NULL, '', '2026-11-30 03:02:37.213346+00', 1, 0),
	(5, 'CONFIRMING', 'one', 'confirm', '{"code": "Broken", "kind": "breaker", "step": "one", "detail": "one.confirm is broken"}', '2026-11-30 03:02:16.767675+00', NULL, '', '', '', '01a22a67-3107-7512-b42c-ac18af70d56f', 'The participant of one.confirm breaks too often: its breaker is open, and whoever breaks there is escalated at once. Mend it. A probe that succeeds closes the breaker, and the runs that wait go on; then resume these.', '', NULL, '', '2026-11-30 03:02:16.767675+00', 0, 0),
	(6, 'CONFIRMING', 'one', 'confirm', '{"code": "Broken", "kind": "breaker", "step": "one", "detail": "one.confirm is broken"}', '2026-11-30 03:02:16.773192+00', NULL, '', '', '', '01a22a67-32d8-760a-a240-0c1a0fcad3d1', 'The participant of one.confirm breaks too often: its breaker is open, and whoever breaks there is escalated at once. Mend it. A probe that succeeds closes the breaker, and the runs that wait go on; then resume these.', '', NULL, '', '2026-11-30 03:02:16.773192+00', 0, 0),
	(7, 'CONFIRMING', 'one', 'confirm', '{"code": "Broken", "kind": "breaker", "step": "one", "detail": "one.confirm is broken"}', '2026-11-30 03:02:16.776274+00', NULL, '', '', '', '01a22a67-33a5-7585-948a-bb02479bc101', 'The participant of one.confirm breaks too often: its breaker is open, and whoever breaks there is escalated at once. Mend it. A probe that succeeds closes the breaker, and the runs that wait go on; then resume these.', '', NULL, '', '2026-11-30 03:02:16.776274+00', 0, 0);
INSERT INTO public.sagas_inbox VALUES
	('mailer', '01a22a66-e41c-7087-9ff2-57e0ebc1b676:1', '2026-11-30 03:02:19.659148+00');
INSERT INTO public.sagas_lock VALUES
	(2, 'table-7', '01a22a67-1313-71cf-9697-1818bf481423', '01a22a67-1313-71cf-9697-1818bf481423', 1, '2026-11-30 03:02:07.899123+00'),
	(4, 'table-7', '01a22a67-1382-7037-b9d3-d8eee653d162', '01a22a67-1382-7037-b9d3-d8eee653d162', 3, '2026-11-30 03:02:08.008661+00');
INSERT INTO public.sagas_log VALUES
	(1, '01a22a66-e380-73d1-b423-b86b576d5188', '', 'start', 'EVENT', 1, '2026-11-30 03:01:55.723081+00', 0, '', 'b9abc32a-1bbf-47ea-a288-03ab7d4f675a', '', NULL),
	(2, '01a22a66-e41c-7087-9ff2-57e0ebc1b676', '', 'start', 'EVENT', 1, '2026-11-30 03:01:55.869484+00', 0, '', 'ac93f4f4-7c8a-4a1a-8240-950cca4f0f5c', '', NULL),
	(3, '01a22a66-e41c-7087-9ff2-57e0ebc1b676', 'one', 'forward', 'DONE', 1, '2026-11-30 03:01:55.938817+00', 730, 'by-hand', 'ac93f4f4-7c8a-4a1a-8240-950cca4f0f5c', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(4, '01a22a66-e484-7659-92ad-e42b73a2da59', '', 'start', 'EVENT', 1, '2026-11-30 03:01:55.974066+00', 0, '', 'ba797a9b-ff1a-4b16-9130-52335e7476bb', '', NULL),
	(5, '01a22a66-e484-7659-92ad-e42b73a2da59', 'one', 'forward', 'DONE', 1, '2026-11-30 03:01:56.035279+00', 1399, 'by-hand', 'ba797a9b-ff1a-4b16-9130-52335e7476bb', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(6, '01a22a66-e4ec-71c5-98b5-bdb464d1bec8', '', 'start', 'EVENT', 1, '2026-11-30 03:01:56.077523+00', 0, '', '72c076bc-063e-469b-b345-2dff10388bf6', '', NULL),
	(7, '01a22a66-e4ec-71c5-98b5-bdb464d1bec8', 'one', 'forward', 'DONE', 1, '2026-11-30 03:01:56.182116+00', 1467, 'by-hand', '72c076bc-063e-469b-b345-2dff10388bf6', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(8, '01a22a66-e4ec-71c5-98b5-bdb464d1bec8', 'two', 'forward', 'DONE', 1, '2026-11-30 03:01:56.235268+00', 3114, 'by-hand', '72c076bc-063e-469b-b345-2dff10388bf6', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(9, '01a22a66-e4ec-71c5-98b5-bdb464d1bec8', 'three', 'forward', 'DONE', 1, '2026-11-30 03:01:56.280763+00', 4759, 'by-hand', '72c076bc-063e-469b-b345-2dff10388bf6', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(10, '01a22a66-e5d7-75cc-8a75-a2e62299a38d', '', 'start', 'EVENT', 1, '2026-11-30 03:01:56.31204+00', 0, '', '880b4a93-f37d-4274-b0cf-1c704a67f416', '', NULL),
	(11, '01a22a66-e5d7-75cc-8a75-a2e62299a38d', 'one', 'forward', 'DONE', 1, '2026-11-30 03:01:56.373561+00', 2722, 'by-hand', '880b4a93-f37d-4274-b0cf-1c704a67f416', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(12, '01a22a66-e5d7-75cc-8a75-a2e62299a38d', 'two', 'forward', 'DONE', 1, '2026-11-30 03:01:56.416667+00', 2776, 'by-hand', '880b4a93-f37d-4274-b0cf-1c704a67f416', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(13, '01a22a66-e5d7-75cc-8a75-a2e62299a38d', 'three', 'forward', 'DONE', 1, '2026-11-30 03:01:56.469469+00', 1552, 'by-hand', '880b4a93-f37d-4274-b0cf-1c704a67f416', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(14, '01a22a66-e5d7-75cc-8a75-a2e62299a38d', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 03:01:56.509612+00', 0, '', '880b4a93-f37d-4274-b0cf-1c704a67f416', '', NULL),
	(15, '01a22a66-e6a1-76c5-b073-b642048ae761', '', 'start', 'EVENT', 1, '2026-11-30 03:01:56.513713+00', 0, '', 'cc615db4-2272-4376-ba81-533e27006013', '', NULL),
	(16, '01a22a66-e6a1-76c5-b073-b642048ae761', 'one', 'forward', 'DONE', 1, '2026-11-30 03:01:56.627601+00', 568, 'by-hand', 'cc615db4-2272-4376-ba81-533e27006013', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(17, '01a22a66-e6a1-76c5-b073-b642048ae761', 'two', 'forward', 'DONE', 1, '2026-11-30 03:01:56.722618+00', 608, 'by-hand', 'cc615db4-2272-4376-ba81-533e27006013', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(18, '01a22a66-e6a1-76c5-b073-b642048ae761', 'three', 'forward', 'DONE', 1, '2026-11-30 03:01:56.794476+00', 475, 'by-hand', 'cc615db4-2272-4376-ba81-533e27006013', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(19, '01a22a66-e6a1-76c5-b073-b642048ae761', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 03:01:56.841142+00', 0, '', 'cc615db4-2272-4376-ba81-533e27006013', '', NULL),
	(20, '01a22a66-e6a1-76c5-b073-b642048ae761', 'payment', 'confirmation', 'EVENT', 1, '2026-11-30 03:01:56.851316+00', 0, '', 'cc615db4-2272-4376-ba81-533e27006013', '', NULL),
	(21, '01a22a66-e6a1-76c5-b073-b642048ae761', 'one', 'confirm', 'DONE', 1, '2026-11-30 03:01:56.976438+00', 1335, 'by-hand', 'cc615db4-2272-4376-ba81-533e27006013', '', '{"by": "one"}'),
	(22, '01a22a66-e8b5-76eb-967b-1e43dc685684', '', 'start', 'EVENT', 1, '2026-11-30 03:01:57.046595+00', 0, '', '9df5daa3-0808-4e9e-bc06-d55bee2e7dc2', '', NULL),
	(23, '01a22a66-e8b5-76eb-967b-1e43dc685684', 'one', 'forward', 'DONE', 1, '2026-11-30 03:01:57.138983+00', 452, 'by-hand', '9df5daa3-0808-4e9e-bc06-d55bee2e7dc2', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(24, '01a22a66-e8b5-76eb-967b-1e43dc685684', 'two', 'forward', 'DONE', 1, '2026-11-30 03:01:57.229986+00', 10607, 'by-hand', '9df5daa3-0808-4e9e-bc06-d55bee2e7dc2', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(25, '01a22a66-e8b5-76eb-967b-1e43dc685684', 'three', 'forward', 'DONE', 1, '2026-11-30 03:01:57.286014+00', 402, 'by-hand', '9df5daa3-0808-4e9e-bc06-d55bee2e7dc2', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(26, '01a22a66-e8b5-76eb-967b-1e43dc685684', '', 'cancel', 'EVENT', 1, '2026-11-30 03:01:57.350964+00', 0, 'Lin', '9df5daa3-0808-4e9e-bc06-d55bee2e7dc2', '', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": "changed my mind"}'),
	(27, '01a22a66-e8b5-76eb-967b-1e43dc685684', 'three', 'compensate', 'DONE', 1, '2026-11-30 03:01:57.439641+00', 1120, 'by-hand', '9df5daa3-0808-4e9e-bc06-d55bee2e7dc2', '', '{"by": "three"}'),
	(28, '01a22a66-ea8f-7296-8e33-1bd31736ee0f', '', 'start', 'EVENT', 1, '2026-11-30 03:01:57.52039+00', 0, '', '4ce6dfc5-899d-41ad-9785-ee8598a83f55', '', NULL),
	(29, '01a22a66-ea8f-7296-8e33-1bd31736ee0f', 'payment', 'confirmation', 'EVENT', 1, '2026-11-30 03:01:57.524673+00', 0, '', '4ce6dfc5-899d-41ad-9785-ee8598a83f55', '', NULL),
	(30, '01a22a66-ea8f-7296-8e33-1bd31736ee0f', 'one', 'forward', 'DONE', 1, '2026-11-30 03:01:57.630379+00', 2056, 'by-hand', '4ce6dfc5-899d-41ad-9785-ee8598a83f55', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(31, '01a22a66-ea8f-7296-8e33-1bd31736ee0f', 'two', 'forward', 'DONE', 1, '2026-11-30 03:01:57.724017+00', 423, 'by-hand', '4ce6dfc5-899d-41ad-9785-ee8598a83f55', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(32, '01a22a66-ea8f-7296-8e33-1bd31736ee0f', 'three', 'forward', 'REJECTED', 1, '2026-11-30 03:01:57.862212+00', 238, 'by-hand', '4ce6dfc5-899d-41ad-9785-ee8598a83f55', '', '{"code": "SoldOut", "kind": "rejected", "step": "three", "detail": "three says no"}'),
	(33, '01a22a66-ec6b-7351-8c8f-13115a31e835', '', 'start', 'EVENT', 1, '2026-11-30 03:01:57.995917+00', 0, '', '61d2e9f3-316c-4bbc-883f-3fc36bcd71fd', '', NULL),
	(34, '01a22a66-ec6b-7351-8c8f-13115a31e835', 'one', 'forward', 'DONE', 1, '2026-11-30 03:01:58.162005+00', 354, 'by-hand', '61d2e9f3-316c-4bbc-883f-3fc36bcd71fd', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(35, '01a22a66-ec6b-7351-8c8f-13115a31e835', 'two', 'forward', 'DONE', 1, '2026-11-30 03:01:58.306127+00', 330, 'by-hand', '61d2e9f3-316c-4bbc-883f-3fc36bcd71fd', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(36, '01a22a66-ec6b-7351-8c8f-13115a31e835', 'three', 'forward', 'DONE', 1, '2026-11-30 03:01:58.424517+00', 546, 'by-hand', '61d2e9f3-316c-4bbc-883f-3fc36bcd71fd', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(37, '01a22a66-ec6b-7351-8c8f-13115a31e835', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 03:01:58.500119+00', 0, '', '61d2e9f3-316c-4bbc-883f-3fc36bcd71fd', '', NULL),
	(38, '01a22a66-ec6b-7351-8c8f-13115a31e835', 'payment', 'confirmation', 'EVENT', 1, '2026-11-30 03:01:58.512862+00', 0, '', '61d2e9f3-316c-4bbc-883f-3fc36bcd71fd', '', NULL),
	(39, '01a22a66-ec6b-7351-8c8f-13115a31e835', 'one', 'confirm', 'DONE', 1, '2026-11-30 03:01:58.63639+00', 2950, 'by-hand', '61d2e9f3-316c-4bbc-883f-3fc36bcd71fd', '', '{"by": "one"}'),
	(40, '01a22a66-ec6b-7351-8c8f-13115a31e835', 'three', 'confirm', 'DONE', 1, '2026-11-30 03:01:58.726853+00', 617, 'by-hand', '61d2e9f3-316c-4bbc-883f-3fc36bcd71fd', '', '{"by": "three"}'),
	(41, '01a22a66-ef85-7254-ab5e-be4d4c7c68f2', '', 'start', 'EVENT', 1, '2026-11-30 03:01:58.789939+00', 0, '', '4eef91bc-57e1-4810-92f0-5983672a8a68', '', NULL),
	(42, '01a22a66-ef85-7254-ab5e-be4d4c7c68f2', 'one', 'forward', 'DONE', 1, '2026-11-30 03:01:58.912402+00', 324, 'by-hand', '4eef91bc-57e1-4810-92f0-5983672a8a68', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(43, '01a22a66-ef85-7254-ab5e-be4d4c7c68f2', 'two', 'forward', 'DONE', 1, '2026-11-30 03:01:58.994675+00', 375, 'by-hand', '4eef91bc-57e1-4810-92f0-5983672a8a68', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(44, '01a22a66-ef85-7254-ab5e-be4d4c7c68f2', '', 'cancel', 'EVENT', 1, '2026-11-30 03:01:59.059457+00', 0, 'Lin', '4eef91bc-57e1-4810-92f0-5983672a8a68', '', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": "changed my mind"}'),
	(45, '01a22a66-ef85-7254-ab5e-be4d4c7c68f2', 'two', 'compensate', 'DONE', 1, '2026-11-30 03:01:59.255099+00', 1583, 'by-hand', '4eef91bc-57e1-4810-92f0-5983672a8a68', '', '{"by": "two"}'),
	(46, '01a22a66-ef85-7254-ab5e-be4d4c7c68f2', 'one', 'compensate', 'DONE', 1, '2026-11-30 03:01:59.345397+00', 5105, 'by-hand', '4eef91bc-57e1-4810-92f0-5983672a8a68', '', '{"by": "one"}'),
	(47, '01a22a66-f203-71b5-b6d1-0523ae447523', '', 'start', 'EVENT', 1, '2026-11-30 03:01:59.428484+00', 0, '', '6f94626c-79a1-49d9-bba0-023c0e0cf604', '', NULL),
	(48, '01a22a66-f203-71b5-b6d1-0523ae447523', 'one', 'forward', 'DONE', 1, '2026-11-30 03:01:59.55265+00', 344, 'by-hand', '6f94626c-79a1-49d9-bba0-023c0e0cf604', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(49, '01a22a66-f38a-76a5-a0b4-fa14df63862e', '', 'start', 'EVENT', 1, '2026-11-30 03:01:59.819359+00', 0, '', '33e3b802-a345-45a5-a781-8b09abb288b3', '', NULL),
	(50, '01a22a66-f38a-76a5-a0b4-fa14df63862e', 'one', 'forward', 'DONE', 1, '2026-11-30 03:01:59.929775+00', 323, 'by-hand', '33e3b802-a345-45a5-a781-8b09abb288b3', 'tests.upgrade.sagas.effect', '{"by": "one"}');
INSERT INTO public.sagas_log VALUES
	(51, '01a22a66-f38a-76a5-a0b4-fa14df63862e', 'two', 'forward', 'DONE', 1, '2026-11-30 03:02:00.006623+00', 2910, 'by-hand', '33e3b802-a345-45a5-a781-8b09abb288b3', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(52, '01a22a66-f38a-76a5-a0b4-fa14df63862e', 'three', 'forward', 'DONE', 1, '2026-11-30 03:02:00.06737+00', 385, 'by-hand', '33e3b802-a345-45a5-a781-8b09abb288b3', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(53, '01a22a66-f38a-76a5-a0b4-fa14df63862e', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 03:02:00.131847+00', 0, '', '33e3b802-a345-45a5-a781-8b09abb288b3', '', NULL),
	(54, '01a22a66-f38a-76a5-a0b4-fa14df63862e', 'payment', 'confirmation', 'EVENT', 1, '2026-11-30 03:02:00.134073+00', 0, '', '33e3b802-a345-45a5-a781-8b09abb288b3', '', NULL),
	(55, '01a22a66-f38a-76a5-a0b4-fa14df63862e', 'one', 'confirm', 'FAULT', 1, '2026-11-30 03:02:00.229974+00', 0, 'by-hand', '33e3b802-a345-45a5-a781-8b09abb288b3', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(104, '01a22a67-14f7-7722-9692-549d99c77a96', 'child', 'forward', 'ACCEPTED', 1, '2026-11-30 03:02:08.675873+00', 0, 'by-hand', '3860a324-4315-4880-8929-347945986a65', '', NULL),
	(56, '01a22a66-f38a-76a5-a0b4-fa14df63862e', 'one', 'confirm', 'FAULT', 2, '2026-11-30 03:02:00.421128+00', 0, 'by-hand', '33e3b802-a345-45a5-a781-8b09abb288b3', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(57, '01a22a66-f38a-76a5-a0b4-fa14df63862e', 'one', 'confirm', 'FAULT', 3, '2026-11-30 03:02:00.625389+00', 0, 'by-hand', '33e3b802-a345-45a5-a781-8b09abb288b3', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(58, '01a22a66-f38a-76a5-a0b4-fa14df63862e', 'one', 'confirm', 'FAULT', 4, '2026-11-30 03:02:00.798342+00', 0, 'by-hand', '33e3b802-a345-45a5-a781-8b09abb288b3', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(59, '01a22a66-f38a-76a5-a0b4-fa14df63862e', 'one', 'confirm', 'FAULT', 5, '2026-11-30 03:02:00.983725+00', 0, 'by-hand', '33e3b802-a345-45a5-a781-8b09abb288b3', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(60, '01a22a66-f903-749e-85a8-fa026c8a8145', '', 'start', 'EVENT', 1, '2026-11-30 03:02:01.220189+00', 0, '', 'a13d7391-170d-4199-8eb3-31a8bab162cd', '', NULL),
	(61, '01a22a66-f903-749e-85a8-fa026c8a8145', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:01.472266+00', 566, 'by-hand', 'a13d7391-170d-4199-8eb3-31a8bab162cd', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(62, '01a22a66-f903-749e-85a8-fa026c8a8145', 'two', 'forward', 'DONE', 1, '2026-11-30 03:02:01.673926+00', 358, 'by-hand', 'a13d7391-170d-4199-8eb3-31a8bab162cd', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(63, '01a22a66-f903-749e-85a8-fa026c8a8145', 'three', 'forward', 'DONE', 1, '2026-11-30 03:02:01.866031+00', 541, 'by-hand', 'a13d7391-170d-4199-8eb3-31a8bab162cd', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(64, '01a22a66-f903-749e-85a8-fa026c8a8145', '', 'cancel', 'EVENT', 1, '2026-11-30 03:02:02.015562+00', 0, '', 'a13d7391-170d-4199-8eb3-31a8bab162cd', '', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": ""}'),
	(65, '01a22a66-f903-749e-85a8-fa026c8a8145', 'three', 'compensate', 'DONE', 1, '2026-11-30 03:02:02.219428+00', 324, 'by-hand', 'a13d7391-170d-4199-8eb3-31a8bab162cd', '', '{"by": "three"}'),
	(66, '01a22a66-f903-749e-85a8-fa026c8a8145', 'two', 'compensate', 'FAULT', 1, '2026-11-30 03:02:02.355568+00', 0, 'by-hand', 'a13d7391-170d-4199-8eb3-31a8bab162cd', '', '{"code": "Broken", "kind": "fault", "step": "two", "detail": "two.compensate is broken"}'),
	(67, '01a22a66-f903-749e-85a8-fa026c8a8145', 'two', 'compensate', 'FAULT', 2, '2026-11-30 03:02:02.707097+00', 0, 'by-hand', 'a13d7391-170d-4199-8eb3-31a8bab162cd', '', '{"code": "Broken", "kind": "fault", "step": "two", "detail": "two.compensate is broken"}'),
	(68, '01a22a66-f903-749e-85a8-fa026c8a8145', 'two', 'compensate', 'FAULT', 3, '2026-11-30 03:02:03.078983+00', 0, 'by-hand', 'a13d7391-170d-4199-8eb3-31a8bab162cd', '', '{"code": "Broken", "kind": "fault", "step": "two", "detail": "two.compensate is broken"}'),
	(69, '01a22a66-f903-749e-85a8-fa026c8a8145', 'two', 'compensate', 'FAULT', 4, '2026-11-30 03:02:03.452881+00', 0, 'by-hand', 'a13d7391-170d-4199-8eb3-31a8bab162cd', '', '{"code": "Broken", "kind": "fault", "step": "two", "detail": "two.compensate is broken"}'),
	(70, '01a22a66-f903-749e-85a8-fa026c8a8145', 'two', 'compensate', 'FAULT', 5, '2026-11-30 03:02:03.861749+00', 0, 'by-hand', 'a13d7391-170d-4199-8eb3-31a8bab162cd', '', '{"code": "Broken", "kind": "fault", "step": "two", "detail": "two.compensate is broken"}'),
	(71, '01a22a67-047c-75f1-9d2b-4656ca14de88', '', 'start', 'EVENT', 1, '2026-11-30 03:02:04.159327+00', 0, '', '5c6678c8-3e65-4e27-aff6-c4ccfbbd17e7', '', NULL),
	(72, '01a22a67-047c-75f1-9d2b-4656ca14de88', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:04.284552+00', 3771, 'by-hand', '5c6678c8-3e65-4e27-aff6-c4ccfbbd17e7', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(73, '01a22a67-047c-75f1-9d2b-4656ca14de88', 'two', 'forward', 'DONE', 1, '2026-11-30 03:02:04.396248+00', 1432, 'by-hand', '5c6678c8-3e65-4e27-aff6-c4ccfbbd17e7', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(74, '01a22a67-047c-75f1-9d2b-4656ca14de88', 'three', 'forward', 'DONE', 1, '2026-11-30 03:02:04.536009+00', 581, 'by-hand', '5c6678c8-3e65-4e27-aff6-c4ccfbbd17e7', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(75, '01a22a67-047c-75f1-9d2b-4656ca14de88', '', 'cancel', 'EVENT', 1, '2026-11-30 03:02:04.631641+00', 0, '', '5c6678c8-3e65-4e27-aff6-c4ccfbbd17e7', '', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": ""}'),
	(76, '01a22a67-047c-75f1-9d2b-4656ca14de88', 'three', 'compensate', 'FAULT', 1, '2026-11-30 03:02:04.791945+00', 0, 'by-hand', '5c6678c8-3e65-4e27-aff6-c4ccfbbd17e7', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.compensate is broken"}'),
	(77, '01a22a67-047c-75f1-9d2b-4656ca14de88', 'three', 'compensate', 'FAULT', 2, '2026-11-30 03:02:05.079502+00', 0, 'by-hand', '5c6678c8-3e65-4e27-aff6-c4ccfbbd17e7', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.compensate is broken"}'),
	(78, '01a22a67-047c-75f1-9d2b-4656ca14de88', 'three', 'compensate', 'FAULT', 3, '2026-11-30 03:02:05.490264+00', 0, 'by-hand', '5c6678c8-3e65-4e27-aff6-c4ccfbbd17e7', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.compensate is broken"}'),
	(79, '01a22a67-047c-75f1-9d2b-4656ca14de88', 'three', 'compensate', 'FAULT', 4, '2026-11-30 03:02:05.927513+00', 0, 'by-hand', '5c6678c8-3e65-4e27-aff6-c4ccfbbd17e7', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.compensate is broken"}'),
	(80, '01a22a67-047c-75f1-9d2b-4656ca14de88', 'three', 'compensate', 'FAULT', 5, '2026-11-30 03:02:06.362722+00', 0, 'by-hand', '5c6678c8-3e65-4e27-aff6-c4ccfbbd17e7', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.compensate is broken"}'),
	(81, '01a22a66-f903-749e-85a8-fa026c8a8145', '', 'acknowledge', 'EVENT', 1, '2026-11-30 03:02:06.499818+00', 0, 'mei', 'a13d7391-170d-4199-8eb3-31a8bab162cd', '', NULL),
	(82, '01a22a66-f903-749e-85a8-fa026c8a8145', '', 'assign', 'EVENT', 1, '2026-11-30 03:02:06.507528+00', 0, 'mei', 'a13d7391-170d-4199-8eb3-31a8bab162cd', '', '{"to": "bo"}'),
	(83, '01a22a67-0dac-760f-8760-aaba717ac965', '', 'start', 'EVENT', 1, '2026-11-30 03:02:06.509868+00', 0, '', 'e9ef0424-188a-465f-9be3-ca2fcadb2be9', '', NULL),
	(84, '01a22a67-0dac-760f-8760-aaba717ac965', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:06.610044+00', 6811, 'by-hand', 'e9ef0424-188a-465f-9be3-ca2fcadb2be9', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(85, '01a22a67-0dac-760f-8760-aaba717ac965', 'two', 'forward', 'DONE', 1, '2026-11-30 03:02:06.667401+00', 347, 'by-hand', 'e9ef0424-188a-465f-9be3-ca2fcadb2be9', '', '{"by": "two"}'),
	(86, '01a22a67-0dac-760f-8760-aaba717ac965', 'three', 'forward', 'FAULT', 1, '2026-11-30 03:02:06.7131+00', 0, 'by-hand', 'e9ef0424-188a-465f-9be3-ca2fcadb2be9', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.forward is broken"}'),
	(87, '01a22a67-0dac-760f-8760-aaba717ac965', 'three', 'forward', 'FAULT', 2, '2026-11-30 03:02:06.782053+00', 0, 'by-hand', 'e9ef0424-188a-465f-9be3-ca2fcadb2be9', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.forward is broken"}'),
	(88, '01a22a67-0dac-760f-8760-aaba717ac965', 'three', 'forward', 'FAULT', 3, '2026-11-30 03:02:06.929376+00', 0, 'by-hand', 'e9ef0424-188a-465f-9be3-ca2fcadb2be9', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.forward is broken"}'),
	(89, '01a22a67-0dac-760f-8760-aaba717ac965', 'three', 'forward', 'FAULT', 4, '2026-11-30 03:02:07.077599+00', 0, 'by-hand', 'e9ef0424-188a-465f-9be3-ca2fcadb2be9', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.forward is broken"}'),
	(90, '01a22a67-0dac-760f-8760-aaba717ac965', 'three', 'forward', 'FAULT', 5, '2026-11-30 03:02:07.146929+00', 0, 'by-hand', 'e9ef0424-188a-465f-9be3-ca2fcadb2be9', '', '{"code": "Broken", "kind": "fault", "step": "three", "detail": "three.forward is broken"}'),
	(91, '01a22a67-109e-77be-a22f-793cd491a80a', '', 'start', 'EVENT', 1, '2026-11-30 03:02:07.263551+00', 0, '', 'b3de68f8-18b7-46e6-81a6-115639c1ea02', '', NULL),
	(92, '01a22a67-109e-77be-a22f-793cd491a80a', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:07.312702+00', 1163, 'by-hand', 'b3de68f8-18b7-46e6-81a6-115639c1ea02', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(93, '01a22a67-109e-77be-a22f-793cd491a80a', 'right', 'forward', 'ACCEPTED', 1, '2026-11-30 03:02:07.368042+00', 0, 'by-hand', 'b3de68f8-18b7-46e6-81a6-115639c1ea02', '', NULL),
	(94, '01a22a67-1157-751d-802a-432655150290', '', 'start', 'EVENT', 1, '2026-11-30 03:02:07.450377+00', 0, '', '107ed7d9-b5e4-4480-b193-fe975b8f3bcc', '', NULL),
	(95, '01a22a67-1157-751d-802a-432655150290', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:07.566375+00', 977, 'by-hand', '107ed7d9-b5e4-4480-b193-fe975b8f3bcc', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(96, '01a22a67-1157-751d-802a-432655150290', 'left', 'forward', 'DONE', 1, '2026-11-30 03:02:07.654647+00', 3148, 'by-hand', '107ed7d9-b5e4-4480-b193-fe975b8f3bcc', 'tests.upgrade.sagas.effect', '{"by": "left"}'),
	(97, '01a22a67-1247-72c2-a6c0-0fa68ad3fc8f', '', 'start', 'EVENT', 1, '2026-11-30 03:02:07.688102+00', 0, '', '62c8309d-0eb0-48e7-a9da-87c842e050eb', '', NULL),
	(98, '01a22a67-1247-72c2-a6c0-0fa68ad3fc8f', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:07.780007+00', 6978, 'by-hand', '62c8309d-0eb0-48e7-a9da-87c842e050eb', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(99, '01a22a67-1313-71cf-9697-1818bf481423', '', 'start', 'EVENT', 1, '2026-11-30 03:02:07.90255+00', 0, '', '107ca5c6-4f8c-48fd-9f01-26f34b618021', '', NULL);
INSERT INTO public.sagas_log VALUES
	(100, '01a22a67-1382-7037-b9d3-d8eee653d162', '', 'start', 'EVENT', 1, '2026-11-30 03:02:08.009364+00', 0, '', 'aadac6d4-4136-4edd-bc3b-57de7af62294', '', NULL),
	(101, '01a22a67-14f7-7722-9692-549d99c77a96', '', 'start', 'EVENT', 1, '2026-11-30 03:02:08.385696+00', 0, '', '3860a324-4315-4880-8929-347945986a65', '', NULL),
	(102, '01a22a67-14f7-7722-9692-549d99c77a96', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:08.540567+00', 3294, 'by-hand', '3860a324-4315-4880-8929-347945986a65', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(103, 'c31a6665-711e-5f62-b0f2-4c34a52a4095', '', 'start', 'EVENT', 1, '2026-11-30 03:02:08.670496+00', 0, '', '1081c024-3c5a-4e49-913a-e1bc5fdefec2', '', NULL),
	(105, '01a22a67-16a5-7015-895d-107855fe13dd', '', 'start', 'EVENT', 1, '2026-11-30 03:02:08.806527+00', 0, '', '5ae8d0eb-c361-4a03-a150-c9caa12f0dd4', '', NULL),
	(106, '01a22a67-16a5-7015-895d-107855fe13dd', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:08.948092+00', 1368, 'by-hand', '5ae8d0eb-c361-4a03-a150-c9caa12f0dd4', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(107, '67c225da-0a09-56b6-8583-1fd23195c41d', '', 'start', 'EVENT', 1, '2026-11-30 03:02:09.02406+00', 0, '', 'b08be7da-f80b-4f50-b9f8-646ce4a0bd4d', '', NULL),
	(108, '01a22a67-16a5-7015-895d-107855fe13dd', 'child', 'forward', 'ACCEPTED', 1, '2026-11-30 03:02:09.027492+00', 0, 'by-hand', '5ae8d0eb-c361-4a03-a150-c9caa12f0dd4', '', NULL),
	(109, '01a22a67-1854-73a9-bb5e-e7b34626a7fd', '', 'start', 'EVENT', 1, '2026-11-30 03:02:09.237641+00', 0, '', '1906979f-b9c2-477d-a8a6-40ee6d6c7af3', '', NULL),
	(110, '01a22a67-1854-73a9-bb5e-e7b34626a7fd', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:09.310434+00', 492, 'by-hand', '1906979f-b9c2-477d-a8a6-40ee6d6c7af3', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(111, 'f6188186-ceb1-566e-a361-80bb6f6ca6bb', '', 'start', 'EVENT', 1, '2026-11-30 03:02:09.413432+00', 0, '', '758ae3e4-3dc4-4e27-8a16-11bc663378d9', '', NULL),
	(112, '01a22a67-1854-73a9-bb5e-e7b34626a7fd', 'child', 'forward', 'ACCEPTED', 1, '2026-11-30 03:02:09.414635+00', 0, 'by-hand', '1906979f-b9c2-477d-a8a6-40ee6d6c7af3', '', NULL),
	(113, '67c225da-0a09-56b6-8583-1fd23195c41d', 'inner', 'forward', 'DONE', 1, '2026-11-30 03:02:09.471406+00', 434, 'by-hand', 'b08be7da-f80b-4f50-b9f8-646ce4a0bd4d', 'tests.upgrade.sagas.effect', '{"by": "inner"}'),
	(114, 'f6188186-ceb1-566e-a361-80bb6f6ca6bb', 'inner', 'forward', 'DONE', 1, '2026-11-30 03:02:09.4979+00', 703, 'by-hand', '758ae3e4-3dc4-4e27-8a16-11bc663378d9', 'tests.upgrade.sagas.effect', '{"by": "inner"}'),
	(115, '01a22a67-1854-73a9-bb5e-e7b34626a7fd', '', 'cancel', 'EVENT', 1, '2026-11-30 03:02:09.529385+00', 0, '', '1906979f-b9c2-477d-a8a6-40ee6d6c7af3', '', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": ""}'),
	(116, '01a22a67-19e3-766f-9f04-0e084e47cc7a', '', 'start', 'EVENT', 1, '2026-11-30 03:02:09.636152+00', 0, '', '88c7eb29-cce4-4753-9e13-c48369761b88', '', NULL),
	(117, '01a22a67-19e3-766f-9f04-0e084e47cc7a', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:10.025902+00', 2834, 'by-hand', '88c7eb29-cce4-4753-9e13-c48369761b88', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(118, '01a22a67-1e6a-7518-85a0-57f9caa4397c', '', 'start', 'EVENT', 1, '2026-11-30 03:02:10.803386+00', 0, '', '2b3b1f25-7ae1-4d4c-a36e-bb702ca91c19', '', NULL),
	(119, '01a22a67-1e6a-7518-85a0-57f9caa4397c', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:11.110102+00', 1658, 'by-hand', '2b3b1f25-7ae1-4d4c-a36e-bb702ca91c19', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(120, '01a22a67-1e6a-7518-85a0-57f9caa4397c', 'two', 'forward', 'DONE', 1, '2026-11-30 03:02:11.144882+00', 346, 'by-hand', '2b3b1f25-7ae1-4d4c-a36e-bb702ca91c19', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(121, '01a22a67-1e6a-7518-85a0-57f9caa4397c', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 03:02:11.172658+00', 0, '', '2b3b1f25-7ae1-4d4c-a36e-bb702ca91c19', '', NULL),
	(122, '01a22a67-206e-745a-996f-45a6b82469ec', '', 'start', 'EVENT', 1, '2026-11-30 03:02:11.311773+00', 0, '', '6ed059b7-8b1f-4ff7-92e7-e77233792bce', '', NULL),
	(123, '01a22a67-206e-745a-996f-45a6b82469ec', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:11.556525+00', 341, 'by-hand', '6ed059b7-8b1f-4ff7-92e7-e77233792bce', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(124, '01a22a67-206e-745a-996f-45a6b82469ec', 'two', 'forward', 'DONE', 1, '2026-11-30 03:02:11.755954+00', 3875, 'by-hand', '6ed059b7-8b1f-4ff7-92e7-e77233792bce', 'tests.upgrade.sagas.effect_there', '{"by": "two"}'),
	(125, '01a22a67-2261-7286-be19-bb25e24abe76', '', 'start', 'EVENT', 1, '2026-11-30 03:02:11.811414+00', 0, '', '5a541ca6-45f4-4d53-9819-7c3a9ac92502', '', NULL),
	(126, '01a22a67-2261-7286-be19-bb25e24abe76', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:11.891822+00', 1143, 'by-hand', '5a541ca6-45f4-4d53-9819-7c3a9ac92502', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(127, '01a22a67-2323-71c8-87cb-d9c1758d5484', '', 'start', 'EVENT', 1, '2026-11-30 03:02:12.003798+00', 0, '', '5f8eaf89-5978-48b2-8165-9842eb31e372', '', NULL),
	(128, '01a22a67-2323-71c8-87cb-d9c1758d5484', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:12.156483+00', 8227, 'by-hand', '5f8eaf89-5978-48b2-8165-9842eb31e372', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(129, '01a22a67-2323-71c8-87cb-d9c1758d5484', '', 'cancel', 'EVENT', 1, '2026-11-30 03:02:12.273411+00', 0, '', '5f8eaf89-5978-48b2-8165-9842eb31e372', '', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": ""}'),
	(130, '01a22a67-2323-71c8-87cb-d9c1758d5484', 'two', 'compensate', 'DONE', 1, '2026-11-30 03:02:12.442336+00', 7940, 'by-hand', '5f8eaf89-5978-48b2-8165-9842eb31e372', '', '{"null": true}'),
	(131, '01a22a67-255b-7672-9272-6b9083130dc6', '', 'start', 'EVENT', 1, '2026-11-30 03:02:12.575897+00', 0, '', '50eec51f-b598-4205-8812-cac959c9170b', '', NULL),
	(132, '01a22a67-255b-7672-9272-6b9083130dc6', 'create_order', 'forward', 'DONE', 1, '2026-11-30 03:02:12.748154+00', 1196, 'by-hand', '50eec51f-b598-4205-8812-cac959c9170b', 'orders.participants.reject_order', NULL),
	(133, '01a22a67-255b-7672-9272-6b9083130dc6', 'reserve_inventory', 'try', 'DONE', 1, '2026-11-30 03:02:12.916623+00', 1182, 'by-hand', '50eec51f-b598-4205-8812-cac959c9170b', 'sagas.pool.PoolResource.cancel', NULL),
	(134, '01a22a67-2744-742d-b24e-f92d06d8b99a', '', 'start', 'EVENT', 1, '2026-11-30 03:02:13.061558+00', 0, '', '738fe03a-702b-475f-8800-39840ba5255f', '', NULL),
	(135, '01a22a67-2744-742d-b24e-f92d06d8b99a', 'create_order', 'forward', 'DONE', 1, '2026-11-30 03:02:13.246451+00', 681, 'by-hand', '738fe03a-702b-475f-8800-39840ba5255f', 'orders.participants.reject_order', NULL),
	(136, '01a22a67-2744-742d-b24e-f92d06d8b99a', 'reserve_inventory', 'try', 'DONE', 1, '2026-11-30 03:02:13.407499+00', 4295, 'by-hand', '738fe03a-702b-475f-8800-39840ba5255f', 'sagas.pool.PoolResource.cancel', NULL),
	(137, '01a22a67-2744-742d-b24e-f92d06d8b99a', 'apply_coupon', 'forward', 'DONE', 1, '2026-11-30 03:02:13.535869+00', 1729, 'by-hand', '738fe03a-702b-475f-8800-39840ba5255f', 'coupons.participants.refund', '{"discount_cents": 500}'),
	(138, '01a22a67-2744-742d-b24e-f92d06d8b99a', 'schedule_delivery', 'try', 'DONE', 1, '2026-11-30 03:02:13.720431+00', 9837, 'by-hand', '738fe03a-702b-475f-8800-39840ba5255f', 'sagas.pool.PoolResource.cancel', NULL),
	(139, '01a22a67-2a52-71b8-824c-769edc80ee9c', '', 'start', 'EVENT', 1, '2026-11-30 03:02:13.844571+00', 0, '', '273d463d-31cc-4b9e-8791-05411befb7d4', '', NULL),
	(140, '01a22a67-2a52-71b8-824c-769edc80ee9c', 'create_order', 'forward', 'DONE', 1, '2026-11-30 03:02:14.036561+00', 1868, 'by-hand', '273d463d-31cc-4b9e-8791-05411befb7d4', 'orders.participants.reject_order', NULL),
	(141, '01a22a67-2a52-71b8-824c-769edc80ee9c', 'reserve_inventory', 'try', 'DONE', 1, '2026-11-30 03:02:14.209844+00', 3717, 'by-hand', '273d463d-31cc-4b9e-8791-05411befb7d4', 'sagas.pool.PoolResource.cancel', NULL),
	(142, '01a22a67-2a52-71b8-824c-769edc80ee9c', 'apply_coupon', 'forward', 'DONE', 1, '2026-11-30 03:02:14.360305+00', 936, 'by-hand', '273d463d-31cc-4b9e-8791-05411befb7d4', 'coupons.participants.refund', '{"discount_cents": 500}'),
	(143, '01a22a67-2a52-71b8-824c-769edc80ee9c', 'schedule_delivery', 'try', 'DONE', 1, '2026-11-30 03:02:14.459358+00', 2325, 'by-hand', '273d463d-31cc-4b9e-8791-05411befb7d4', 'sagas.pool.PoolResource.cancel', NULL),
	(144, '01a22a67-2d28-7723-9253-e41245599a7e', '', 'start', 'EVENT', 1, '2026-11-30 03:02:14.575839+00', 0, '', '6a21e29a-612a-462a-bdc4-54a019d8a81a', '', NULL),
	(145, '01a22a67-2d28-7723-9253-e41245599a7e', 'create_order', 'forward', 'DONE', 1, '2026-11-30 03:02:14.7514+00', 710, 'by-hand', '6a21e29a-612a-462a-bdc4-54a019d8a81a', 'orders.participants.reject_order', NULL),
	(146, '01a22a67-2d28-7723-9253-e41245599a7e', 'reserve_inventory', 'try', 'DONE', 1, '2026-11-30 03:02:14.863936+00', 4810, 'by-hand', '6a21e29a-612a-462a-bdc4-54a019d8a81a', 'sagas.pool.PoolResource.cancel', NULL),
	(147, '01a22a67-2d28-7723-9253-e41245599a7e', 'apply_coupon', 'forward', 'DONE', 1, '2026-11-30 03:02:14.96285+00', 841, 'by-hand', '6a21e29a-612a-462a-bdc4-54a019d8a81a', 'coupons.participants.refund', '{"discount_cents": 500}'),
	(148, '01a22a67-2d28-7723-9253-e41245599a7e', 'schedule_delivery', 'try', 'DONE', 1, '2026-11-30 03:02:15.105853+00', 4161, 'by-hand', '6a21e29a-612a-462a-bdc4-54a019d8a81a', 'sagas.pool.PoolResource.cancel', NULL),
	(149, '01a22a67-2a52-71b8-824c-769edc80ee9c', '', 'cancel', 'EVENT', 1, '2026-11-30 03:02:15.242608+00', 0, '', '273d463d-31cc-4b9e-8791-05411befb7d4', '', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": "changed my mind"}'),
	(150, '01a22a67-2d28-7723-9253-e41245599a7e', 'payment', 'confirmation', 'EVENT', 1, '2026-11-30 03:02:15.250021+00', 0, '', '6a21e29a-612a-462a-bdc4-54a019d8a81a', '', NULL);
INSERT INTO public.sagas_log VALUES
	(151, '01a22a67-2a52-71b8-824c-769edc80ee9c', 'schedule_delivery', 'cancel', 'DONE', 1, '2026-11-30 03:02:15.373288+00', 805, 'by-hand', '273d463d-31cc-4b9e-8791-05411befb7d4', '', NULL),
	(152, '01a22a67-2d28-7723-9253-e41245599a7e', 'create_order', 'confirm', 'DONE', 1, '2026-11-30 03:02:15.460473+00', 2795, 'by-hand', '6a21e29a-612a-462a-bdc4-54a019d8a81a', '', NULL),
	(153, '01a22a67-3107-7512-b42c-ac18af70d56f', '', 'start', 'EVENT', 1, '2026-11-30 03:02:15.560153+00', 0, '', 'ddff6f98-cd77-48cf-b334-9acf9317b5cb', '', NULL),
	(154, '01a22a67-3107-7512-b42c-ac18af70d56f', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:15.740067+00', 847, 'by-hand', 'ddff6f98-cd77-48cf-b334-9acf9317b5cb', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(155, '01a22a67-3107-7512-b42c-ac18af70d56f', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 03:02:15.906392+00', 0, '', 'ddff6f98-cd77-48cf-b334-9acf9317b5cb', '', NULL),
	(156, '01a22a67-32d8-760a-a240-0c1a0fcad3d1', '', 'start', 'EVENT', 1, '2026-11-30 03:02:16.02511+00', 0, '', '6dfcece4-8834-44bb-8ec2-050942945736', '', NULL),
	(157, '01a22a67-32d8-760a-a240-0c1a0fcad3d1', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:16.122866+00', 327, 'by-hand', '6dfcece4-8834-44bb-8ec2-050942945736', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(158, '01a22a67-32d8-760a-a240-0c1a0fcad3d1', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 03:02:16.181348+00', 0, '', '6dfcece4-8834-44bb-8ec2-050942945736', '', NULL),
	(159, '01a22a67-33a5-7585-948a-bb02479bc101', '', 'start', 'EVENT', 1, '2026-11-30 03:02:16.230342+00', 0, '', 'ba74353c-190d-4f80-b1b0-0d12ea986a72', '', NULL),
	(160, '01a22a67-33a5-7585-948a-bb02479bc101', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:16.279799+00', 927, 'by-hand', 'ba74353c-190d-4f80-b1b0-0d12ea986a72', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(161, '01a22a67-33a5-7585-948a-bb02479bc101', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 03:02:16.343678+00', 0, '', 'ba74353c-190d-4f80-b1b0-0d12ea986a72', '', NULL),
	(162, '01a22a67-3107-7512-b42c-ac18af70d56f', 'one', 'confirm', 'FAULT', 1, '2026-11-30 03:02:16.397215+00', 0, 'by-hand', 'ddff6f98-cd77-48cf-b334-9acf9317b5cb', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(163, '01a22a67-32d8-760a-a240-0c1a0fcad3d1', 'one', 'confirm', 'FAULT', 1, '2026-11-30 03:02:16.456001+00', 0, 'by-hand', '6dfcece4-8834-44bb-8ec2-050942945736', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(164, '01a22a67-33a5-7585-948a-bb02479bc101', 'one', 'confirm', 'FAULT', 1, '2026-11-30 03:02:16.513539+00', 0, 'by-hand', 'ba74353c-190d-4f80-b1b0-0d12ea986a72', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(165, '01a22a67-3107-7512-b42c-ac18af70d56f', 'one', 'confirm', 'FAULT', 2, '2026-11-30 03:02:16.622082+00', 0, 'by-hand', 'ddff6f98-cd77-48cf-b334-9acf9317b5cb', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(166, '01a22a67-32d8-760a-a240-0c1a0fcad3d1', 'one', 'confirm', 'FAULT', 2, '2026-11-30 03:02:16.623402+00', 0, 'by-hand', '6dfcece4-8834-44bb-8ec2-050942945736', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(167, '01a22a67-33a5-7585-948a-bb02479bc101', 'one', 'confirm', 'FAULT', 2, '2026-11-30 03:02:16.624013+00', 0, 'by-hand', 'ba74353c-190d-4f80-b1b0-0d12ea986a72', '', '{"code": "Broken", "kind": "fault", "step": "one", "detail": "one.confirm is broken"}'),
	(168, '01a22a67-3107-7512-b42c-ac18af70d56f', 'one', 'confirm', 'FAULT', 3, '2026-11-30 03:02:16.772039+00', 0, 'by-hand', 'ddff6f98-cd77-48cf-b334-9acf9317b5cb', '', '{"code": "Broken", "kind": "breaker", "step": "one", "detail": "one.confirm is broken"}'),
	(169, '01a22a67-32d8-760a-a240-0c1a0fcad3d1', 'one', 'confirm', 'FAULT', 3, '2026-11-30 03:02:16.77581+00', 0, 'by-hand', '6dfcece4-8834-44bb-8ec2-050942945736', '', '{"code": "Broken", "kind": "breaker", "step": "one", "detail": "one.confirm is broken"}'),
	(170, '01a22a67-33a5-7585-948a-bb02479bc101', 'one', 'confirm', 'FAULT', 3, '2026-11-30 03:02:16.778849+00', 0, 'by-hand', 'ba74353c-190d-4f80-b1b0-0d12ea986a72', '', '{"code": "Broken", "kind": "breaker", "step": "one", "detail": "one.confirm is broken"}'),
	(171, '01a22a67-3641-7245-a44f-e5bc3dfa3339', '', 'start', 'EVENT', 1, '2026-11-30 03:02:16.897625+00', 0, '', 'c5e15fd4-c71f-4472-9f12-6b9ca9ca9268', '', NULL),
	(172, '01a22a67-3641-7245-a44f-e5bc3dfa3339', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:16.974453+00', 342, 'by-hand', 'c5e15fd4-c71f-4472-9f12-6b9ca9ca9268', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(173, '01a22a67-3641-7245-a44f-e5bc3dfa3339', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 03:02:17.025501+00', 0, '', 'c5e15fd4-c71f-4472-9f12-6b9ca9ca9268', '', NULL),
	(174, '01a22a67-3703-71e6-80a9-dd7b15b4f870', '', 'start', 'EVENT', 1, '2026-11-30 03:02:17.091971+00', 0, '', '3e977404-d607-444b-a69f-217f308a074f', '', NULL),
	(175, '01a22a67-3703-71e6-80a9-dd7b15b4f870', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:17.188406+00', 330, 'by-hand', '3e977404-d607-444b-a69f-217f308a074f', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(176, '01a22a67-379b-72be-b5bc-471b33f90d2b', '', 'start', 'EVENT', 1, '2026-11-30 03:02:17.244149+00', 0, '', '7be1079a-6cff-4bbe-b5b4-83d03a258310', '', NULL),
	(177, '01a22a67-379b-72be-b5bc-471b33f90d2b', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:17.321245+00', 361, 'by-hand', '7be1079a-6cff-4bbe-b5b4-83d03a258310', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(178, '01a22a67-379b-72be-b5bc-471b33f90d2b', 'left', 'forward', 'FAULT', 1, '2026-11-30 03:02:17.440054+00', 0, 'by-hand', '7be1079a-6cff-4bbe-b5b4-83d03a258310', '', '{"code": "Broken", "kind": "fault", "step": "left", "detail": "left.forward is broken"}'),
	(179, '01a22a67-38d9-70d1-a548-21d6d02a697b', '', 'start', 'EVENT', 1, '2026-11-30 03:02:17.562048+00', 0, '', '785f5ff6-d948-4fd5-a308-aefaa3b73c22', '', NULL),
	(180, '01a22a67-38d9-70d1-a548-21d6d02a697b', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:17.716614+00', 6706, 'by-hand', '785f5ff6-d948-4fd5-a308-aefaa3b73c22', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(181, '01a22a67-38d9-70d1-a548-21d6d02a697b', 'two', 'forward', 'DONE', 1, '2026-11-30 03:02:17.840258+00', 458, 'by-hand', '785f5ff6-d948-4fd5-a308-aefaa3b73c22', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(182, '01a22a67-38d9-70d1-a548-21d6d02a697b', 'three', 'forward', 'DONE', 1, '2026-11-30 03:02:17.926984+00', 2820, 'by-hand', '785f5ff6-d948-4fd5-a308-aefaa3b73c22', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(183, '01a22a67-3a9c-76fc-831e-167d6a73c75e', '', 'start', 'EVENT', 1, '2026-11-30 03:02:18.014434+00', 0, '', '5faf37ba-3678-4327-9ebd-1211d24f6eae', '', NULL),
	(184, '01a22a67-3a9c-76fc-831e-167d6a73c75e', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:18.137324+00', 722, 'by-hand', '5faf37ba-3678-4327-9ebd-1211d24f6eae', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(185, '01a22a67-3a9c-76fc-831e-167d6a73c75e', 'two', 'forward', 'DONE', 1, '2026-11-30 03:02:18.245692+00', 322, 'by-hand', '5faf37ba-3678-4327-9ebd-1211d24f6eae', 'tests.upgrade.sagas.effect', '{"by": "two"}'),
	(186, '01a22a67-3a9c-76fc-831e-167d6a73c75e', 'three', 'forward', 'DONE', 1, '2026-11-30 03:02:18.389339+00', 401, 'by-hand', '5faf37ba-3678-4327-9ebd-1211d24f6eae', 'tests.upgrade.sagas.effect', '{"by": "three"}'),
	(187, '01a22a67-3c7b-7000-9757-828f454e7432', '', 'start', 'EVENT', 1, '2026-11-30 03:02:18.491787+00', 0, '', 'bd239b2e-7ef2-43d1-9d96-2f645582052a', '', NULL),
	(188, '01a22a67-3c7b-7000-9757-828f454e7432', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:18.639487+00', 1271, 'by-hand', 'bd239b2e-7ef2-43d1-9d96-2f645582052a', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(189, '01a22a67-3dac-715a-93f9-5a5f19a22c9d', '', 'start', 'EVENT', 1, '2026-11-30 03:02:18.797082+00', 0, '', 'ff796017-44cd-4de2-8b21-b7d53d6a25e0', '', NULL),
	(190, '01a22a67-3dac-715a-93f9-5a5f19a22c9d', 'one', 'forward', 'DONE', 1, '2026-11-30 03:02:18.912493+00', 2146, 'by-hand', 'ff796017-44cd-4de2-8b21-b7d53d6a25e0', 'tests.upgrade.sagas.effect', '{"by": "one"}'),
	(191, '01a22a67-3703-71e6-80a9-dd7b15b4f870', 'two', 'forward', 'FAULT', 1, '2026-11-30 03:02:19.052583+00', 0, 'by-hand', '3e977404-d607-444b-a69f-217f308a074f', '', '{"code": "Broken", "kind": "fault", "step": "two", "detail": "two.forward is broken"}'),
	(192, '01a22a67-3c7b-7000-9757-828f454e7432', 'two', 'forward', 'REJECTED', 1, '2026-11-30 03:02:19.138592+00', 238, 'by-hand', 'bd239b2e-7ef2-43d1-9d96-2f645582052a', '', '{"code": "SoldOut", "kind": "rejected", "step": "two", "detail": "two says no"}'),
	(193, '01a22a67-3dac-715a-93f9-5a5f19a22c9d', 'debit', 'forward', 'INTENT', 1, '2026-11-30 03:02:19.247915+00', 0, 'by-hand', 'ff796017-44cd-4de2-8b21-b7d53d6a25e0', '', NULL),
	(194, '01a22a67-38d9-70d1-a548-21d6d02a697b', 'approval', 'confirmation', 'EVENT', 1, '2026-11-30 03:02:19.346438+00', 0, '', '785f5ff6-d948-4fd5-a308-aefaa3b73c22', '', NULL),
	(195, '01a22a67-38d9-70d1-a548-21d6d02a697b', 'payment', 'confirmation', 'EVENT', 1, '2026-11-30 03:02:19.35617+00', 0, '', '785f5ff6-d948-4fd5-a308-aefaa3b73c22', '', NULL),
	(196, '01a22a67-3fdf-7326-a3b4-1fe52fe0c737', '', 'start', 'EVENT', 1, '2026-11-30 03:02:19.360632+00', 0, '', 'ba441d87-2502-4f7f-80eb-4dd7f81688d3', '', NULL);
INSERT INTO public.sagas_outbox VALUES
	('01a22a67-3c7b-7000-9757-828f454e7432', 3, 'TwoRejected', 'upgrade.Order', 1, 'two', 'rejected', 'bd239b2e-7ef2-43d1-9d96-2f645582052a', '2026-11-30 03:02:19.138558+00', '{"code": "SoldOut", "kind": "rejected", "step": "two"}', 0, '2026-11-30 03:02:19.138566+00'),
	('01a22a67-3c7b-7000-9757-828f454e7432', 4, 'OrderTurnedBack', 'upgrade.Order', 1, '', 'rejected', 'bd239b2e-7ef2-43d1-9d96-2f645582052a', '2026-11-30 03:02:19.138586+00', '{"code": "SoldOut", "kind": "rejected", "step": "two"}', 0, '2026-11-30 03:02:19.138588+00'),
	('01a22a67-38d9-70d1-a548-21d6d02a697b', 6, 'OrderConfirmed', 'upgrade.Order', 1, '', 'confirming', '785f5ff6-d948-4fd5-a308-aefaa3b73c22', '2026-11-30 03:02:19.357121+00', NULL, 0, '2026-11-30 03:02:19.357121+00'),
	('01a22a67-3fdf-7326-a3b4-1fe52fe0c737', 1, 'OrderStarted', 'upgrade.Order', 1, '', 'placed', 'ba441d87-2502-4f7f-80eb-4dd7f81688d3', '2026-11-30 03:02:19.360656+00', NULL, 0, '2026-11-30 03:02:19.360656+00');
INSERT INTO public.sagas_run VALUES
	('01a22a66-e380-73d1-b423-b86b576d5188', 'upgrade.Order', 1, 'EXECUTING', 0, 0, 1, 'begun', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{}', NULL, 'b9abc32a-1bbf-47ea-a288-03ab7d4f675a', '2026-11-30 03:01:55.722838+00', '2026-11-30 03:01:55.750382+00', '2026-11-30 04:01:55.750382+00', '2026-11-30 04:01:55.750382+00', NULL, 0, NULL, NULL, NULL, 1, false, -277144515, NULL),
	('01a22a66-e41c-7087-9ff2-57e0ebc1b676', 'upgrade.Order', 1, 'EXECUTING', 1, 0, 0, 'halfway', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, 'ac93f4f4-7c8a-4a1a-8240-950cca4f0f5c', '2026-11-30 03:01:55.869388+00', '2026-11-30 03:01:55.874463+00', '2026-11-30 04:01:55.874463+00', '2026-11-30 04:01:55.874463+00', NULL, 0, NULL, NULL, NULL, 2, false, -277144515, NULL),
	('01a22a66-e484-7659-92ad-e42b73a2da59', 'upgrade.Order', 1, 'EXECUTING', 1, 0, 0, 'done and delivered again', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, 'ba797a9b-ff1a-4b16-9130-52335e7476bb', '2026-11-30 03:01:55.973993+00', '2026-11-30 03:01:55.986807+00', '2026-11-30 04:01:55.986807+00', '2026-11-30 04:01:55.986807+00', NULL, 0, NULL, NULL, NULL, 2, false, -277144515, NULL),
	('01a22a66-e4ec-71c5-98b5-bdb464d1bec8', 'upgrade.Order', 1, 'AWAITING_CONFIRM', 3, 0, 0, 'waiting', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', NULL, '72c076bc-063e-469b-b345-2dff10388bf6', '2026-11-30 03:01:56.077454+00', '2026-11-30 03:01:56.083378+00', '2026-11-30 04:01:56.083378+00', '2026-11-30 04:01:57.083378+00', NULL, 0, NULL, NULL, NULL, 5, false, -277144515, NULL),
	('01a22a66-e5d7-75cc-8a75-a2e62299a38d', 'upgrade.Order', 1, 'AWAITING_CONFIRM', 3, 0, 0, 'half confirmed', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', NULL, '880b4a93-f37d-4274-b0cf-1c704a67f416', '2026-11-30 03:01:56.311964+00', '2026-11-30 03:01:56.31697+00', '2026-11-30 05:01:56.31697+00', '2026-11-30 05:01:57.31697+00', NULL, 0, NULL, NULL, NULL, 5, false, -277144515, NULL),
	('01a22a66-e6a1-76c5-b073-b642048ae761', 'upgrade.Order', 1, 'CONFIRMING', 2, 0, 0, 'half confirming', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', NULL, 'cc615db4-2272-4376-ba81-533e27006013', '2026-11-30 03:01:56.513667+00', '2026-11-30 03:01:56.520922+00', '2026-11-30 05:01:56.520922+00', '2026-11-30 04:01:56.864527+00', NULL, 0, NULL, NULL, NULL, 7, false, -277144515, NULL),
	('01a22a66-e8b5-76eb-967b-1e43dc685684', 'upgrade.Order', 1, 'COMPENSATING', 2, 0, 0, 'undoing', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": "changed my mind"}', '9df5daa3-0808-4e9e-bc06-d55bee2e7dc2', '2026-11-30 03:01:57.046529+00', '2026-11-30 03:01:57.053874+00', '2026-11-30 04:01:57.053874+00', '2026-11-30 04:01:57.354185+00', NULL, 0, NULL, NULL, NULL, 7, false, -277144515, NULL),
	('01a22a66-ea8f-7296-8e33-1bd31736ee0f', 'upgrade.Order', 1, 'COMPENSATING', 2, 0, 1, 'to be refunded', '{"key": "", "dies": "", "breaks": [], "rejects": ["three"], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}}', '{"code": "SoldOut", "kind": "rejected", "step": "three", "detail": "three says no"}', '4ce6dfc5-899d-41ad-9785-ee8598a83f55', '2026-11-30 03:01:57.520327+00', '2026-11-30 03:01:57.528364+00', '2026-11-30 04:01:57.528364+00', '2026-11-30 04:01:57.999843+00', NULL, 8, NULL, NULL, NULL, 5, false, -277144515, NULL),
	('01a22a66-ec6b-7351-8c8f-13115a31e835', 'upgrade.Order', 1, 'SUCCEEDED', 3, 0, 0, 'succeeded', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', NULL, '61d2e9f3-316c-4bbc-883f-3fc36bcd71fd', '2026-11-30 03:01:57.995839+00', '2026-11-30 03:01:57.999911+00', '2026-11-30 05:01:57.999911+00', NULL, '2026-11-30 03:01:58.726642+00', 0, NULL, NULL, NULL, 9, false, -277144515, NULL),
	('01a22a67-3107-7512-b42c-ac18af70d56f', 'upgrade.Breaking', 1, 'ESCALATED', 0, 0, 0, 'broken 1', '{"key": "", "dies": "", "breaks": ["one.confirm"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, 'ddff6f98-cd77-48cf-b334-9acf9317b5cb', '2026-11-30 03:02:15.560048+00', '2026-11-30 03:02:15.570201+00', '2026-11-30 04:02:15.570202+00', NULL, NULL, 0, NULL, NULL, NULL, NULL, false, 1563087132, NULL),
	('01a22a67-32d8-760a-a240-0c1a0fcad3d1', 'upgrade.Breaking', 1, 'ESCALATED', 0, 0, 0, 'broken 2', '{"key": "", "dies": "", "breaks": ["one.confirm"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '6dfcece4-8834-44bb-8ec2-050942945736', '2026-11-30 03:02:16.025043+00', '2026-11-30 03:02:16.031246+00', '2026-11-30 04:02:16.031246+00', NULL, NULL, 0, NULL, NULL, NULL, NULL, false, 1563087132, NULL),
	('01a22a67-33a5-7585-948a-bb02479bc101', 'upgrade.Breaking', 1, 'ESCALATED', 0, 0, 0, 'broken 3', '{"key": "", "dies": "", "breaks": ["one.confirm"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, 'ba74353c-190d-4f80-b1b0-0d12ea986a72', '2026-11-30 03:02:16.230273+00', '2026-11-30 03:02:16.232964+00', '2026-11-30 04:02:16.232964+00', NULL, NULL, 0, NULL, NULL, NULL, NULL, false, 1563087132, NULL),
	('01a22a67-3641-7245-a44f-e5bc3dfa3339', 'upgrade.Breaking', 1, 'CONFIRMING', 0, 0, 0, 'behind a breaker', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, 'c5e15fd4-c71f-4472-9f12-6b9ca9ca9268', '2026-11-30 03:02:16.897555+00', '2026-11-30 03:02:16.903234+00', '2026-11-30 04:02:16.903235+00', '2026-11-30 03:02:47.758293+00', NULL, 0, NULL, NULL, NULL, NULL, false, 1563087132, NULL),
	('01a22a67-3703-71e6-80a9-dd7b15b4f870', 'upgrade.Order', 1, 'EXECUTING', 1, 1, 0, 'retrying', '{"key": "", "dies": "", "breaks": ["two.forward"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '3e977404-d607-444b-a69f-217f308a074f', '2026-11-30 03:02:17.091893+00', '2026-11-30 03:02:17.096544+00', '2026-11-30 04:02:17.096544+00', '2026-11-30 03:02:19.996583+00', NULL, 0, NULL, NULL, NULL, 2, false, -277144515, NULL),
	('01a22a67-379b-72be-b5bc-471b33f90d2b', 'upgrade.Forked', 1, 'EXECUTING', 1, 0, 1, 'branch retrying', '{"key": "", "dies": "", "breaks": ["left.forward"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '7be1079a-6cff-4bbe-b5b4-83d03a258310', '2026-11-30 03:02:17.244065+00', '2026-11-30 03:02:17.25281+00', NULL, '2026-11-30 04:02:18.501253+00', NULL, 0, NULL, NULL, '{"left": {"begun": false, "until": 1796007738.4212692, "failed": 1, "operation": ""}}', NULL, false, 1602210023, NULL),
	('01a22a66-ef85-7254-ab5e-be4d4c7c68f2', 'upgrade.Order', 1, 'FAILED', 0, 0, 0, 'failed', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}}', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": "changed my mind"}', '4eef91bc-57e1-4810-92f0-5983672a8a68', '2026-11-30 03:01:58.789734+00', '2026-11-30 03:01:58.794714+00', '2026-11-30 04:01:58.794714+00', NULL, '2026-11-30 03:01:59.345181+00', 0, NULL, NULL, NULL, 7, false, -277144515, NULL),
	('01a22a67-38d9-70d1-a548-21d6d02a697b', 'upgrade.Order', 1, 'CONFIRMING', 0, 0, 0, 'confirming', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', NULL, '785f5ff6-d948-4fd5-a308-aefaa3b73c22', '2026-11-30 03:02:17.561971+00', '2026-11-30 03:02:17.56919+00', '2026-11-30 05:02:17.56919+00', '2026-11-30 03:02:19.356889+00', NULL, 0, NULL, NULL, NULL, 6, false, -277144515, NULL),
	('01a22a66-f203-71b5-b6d1-0523ae447523', 'upgrade.Order', 1, 'EXECUTING', 1, 0, 2, 'interrupted', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '6f94626c-79a1-49d9-bba0-023c0e0cf604', '2026-11-30 03:01:59.428417+00', '2026-11-30 03:01:59.435229+00', '2026-11-30 04:01:59.435229+00', '2026-11-30 05:01:59.731737+00', NULL, 0, NULL, NULL, NULL, 2, false, -277144515, NULL),
	('01a22a66-f38a-76a5-a0b4-fa14df63862e', 'upgrade.Order', 1, 'ESCALATED', 0, 0, 0, 'confirm that breaks', '{"key": "", "dies": "", "breaks": ["one.confirm"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', NULL, '33e3b802-a345-45a5-a781-8b09abb288b3', '2026-11-30 03:01:59.819297+00', '2026-11-30 03:01:59.824791+00', '2026-11-30 05:01:59.824791+00', NULL, NULL, 0, NULL, NULL, NULL, 7, false, -277144515, NULL),
	('01a22a66-f903-749e-85a8-fa026c8a8145', 'upgrade.Order', 1, 'ESCALATED', 2, 0, 0, 'undo that breaks', '{"key": "", "dies": "", "breaks": ["two.compensate"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": ""}', 'a13d7391-170d-4199-8eb3-31a8bab162cd', '2026-11-30 03:02:01.220126+00', '2026-11-30 03:02:01.225851+00', '2026-11-30 04:02:01.225851+00', NULL, NULL, 0, NULL, NULL, NULL, 8, false, -277144515, NULL),
	('01a22a67-047c-75f1-9d2b-4656ca14de88', 'upgrade.Order', 1, 'ESCALATED', 3, 0, 0, 'ended by hand', '{"key": "", "dies": "", "breaks": ["three.compensate"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": ""}', '5c6678c8-3e65-4e27-aff6-c4ccfbbd17e7', '2026-11-30 03:02:04.159257+00', '2026-11-30 03:02:04.16496+00', '2026-11-30 04:02:04.16496+00', NULL, NULL, 0, NULL, NULL, NULL, 7, false, -277144515, NULL),
	('01a22a67-0dac-760f-8760-aaba717ac965', 'upgrade.Pivoted', 1, 'ESCALATED', 2, 0, 0, 'broken behind the pivot', '{"key": "", "dies": "", "breaks": ["three.forward"], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}}', NULL, 'e9ef0424-188a-465f-9be3-ca2fcadb2be9', '2026-11-30 03:02:06.509802+00', '2026-11-30 03:02:06.516839+00', NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, false, 541284142, NULL),
	('01a22a67-109e-77be-a22f-793cd491a80a', 'upgrade.Forked', 1, 'EXECUTING', 1, 0, 0, 'accepted', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, 'b3de68f8-18b7-46e6-81a6-115639c1ea02', '2026-11-30 03:02:07.263476+00', '2026-11-30 03:02:07.27015+00', NULL, '2026-11-30 04:02:07.27015+00', NULL, 0, NULL, NULL, '{"right": {"begun": true, "until": 1796094127.367268, "failed": 0, "operation": "forward"}}', NULL, false, 1602210023, NULL),
	('01a22a67-1157-751d-802a-432655150290', 'upgrade.Forked', 1, 'EXECUTING', 1, 0, 0, 'forked', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "left": {"by": "left"}}', NULL, '107ed7d9-b5e4-4480-b193-fe975b8f3bcc', '2026-11-30 03:02:07.450298+00', '2026-11-30 03:02:07.461448+00', NULL, '2026-11-30 04:02:07.461448+00', NULL, 2, NULL, NULL, NULL, NULL, false, 1602210023, NULL),
	('01a22a67-1247-72c2-a6c0-0fa68ad3fc8f', 'upgrade.Changed', 1, 'EXECUTING', 1, 0, 0, 'changed', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '62c8309d-0eb0-48e7-a9da-87c842e050eb', '2026-11-30 03:02:07.687963+00', '2026-11-30 03:02:07.700432+00', NULL, '2026-11-30 04:02:07.700433+00', NULL, 0, NULL, NULL, NULL, NULL, false, 87730852, NULL),
	('01a22a67-1313-71cf-9697-1818bf481423', 'upgrade.Keyed', 1, 'EXECUTING', 0, 0, 1, 'first in line', '{"key": "table-7", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{}', NULL, '107ca5c6-4f8c-48fd-9f01-26f34b618021', '2026-11-30 03:02:07.90249+00', '2026-11-30 03:02:07.917165+00', '2026-11-30 04:02:07.917165+00', '2026-11-30 04:02:07.917165+00', NULL, 0, NULL, NULL, NULL, NULL, true, -975621029, NULL),
	('01a22a67-3c7b-7000-9757-828f454e7432', 'upgrade.Order', 1, 'COMPENSATING', 1, 0, 0, 'rejected', '{"key": "", "dies": "", "breaks": [], "rejects": ["two"], "customer": "Lin"}', '{"one": {"by": "one"}}', '{"code": "SoldOut", "kind": "rejected", "step": "two", "detail": "two says no"}', 'bd239b2e-7ef2-43d1-9d96-2f645582052a', '2026-11-30 03:02:18.491718+00', '2026-11-30 03:02:18.503835+00', '2026-11-30 04:02:18.503836+00', '2026-11-30 03:02:19.138373+00', NULL, 0, NULL, NULL, NULL, 4, false, -277144515, NULL),
	('01a22a67-3dac-715a-93f9-5a5f19a22c9d', 'upgrade.Remote', 1, 'EXECUTING', 1, 0, 0, 'asked', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, 'ff796017-44cd-4de2-8b21-b7d53d6a25e0', '2026-11-30 03:02:18.797005+00', '2026-11-30 03:02:18.804094+00', NULL, '2026-11-30 03:02:45.247776+00', NULL, 0, NULL, NULL, '{"debit": {"begun": true, "until": 1796007765.247074, "failed": 0, "operation": "forward"}}', NULL, false, 840454535, NULL),
	('67c225da-0a09-56b6-8583-1fd23195c41d', 'upgrade.Child', 1, 'AWAITING_CONFIRM', 1, 0, 0, '', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"inner": {"by": "inner"}}', NULL, 'b08be7da-f80b-4f50-b9f8-646ce4a0bd4d', '2026-11-30 03:02:09.023997+00', '2026-11-30 03:02:09.105512+00', '2026-11-30 04:02:09.105512+00', '2026-11-30 04:02:10.105512+00', NULL, 0, '01a22a67-16a5-7015-895d-107855fe13dd', 'child', NULL, NULL, false, -1844241472, NULL),
	('01a22a67-14f7-7722-9692-549d99c77a96', 'upgrade.Parent', 1, 'EXECUTING', 1, 0, 0, 'child begun', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '3860a324-4315-4880-8929-347945986a65', '2026-11-30 03:02:08.385621+00', '2026-11-30 03:02:08.400546+00', NULL, '2026-11-30 03:02:38.67573+00', NULL, 0, NULL, NULL, '{"child": {"begun": true, "until": 1796007758.670822, "failed": 0, "operation": ""}}', NULL, false, -267035869, NULL),
	('c31a6665-711e-5f62-b0f2-4c34a52a4095', 'upgrade.Child', 1, 'EXECUTING', 0, 0, 1, '', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{}', NULL, '1081c024-3c5a-4e49-913a-e1bc5fdefec2', '2026-11-30 03:02:08.67035+00', '2026-11-30 03:02:08.729588+00', '2026-11-30 04:02:08.729588+00', '2026-11-30 04:02:08.729589+00', NULL, 0, '01a22a67-14f7-7722-9692-549d99c77a96', 'child', NULL, NULL, false, -1844241472, NULL),
	('01a22a67-1382-7037-b9d3-d8eee653d162', 'upgrade.Keyed', 1, 'PENDING', 0, 0, 0, 'second in line', '{"key": "table-7", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{}', NULL, 'aadac6d4-4136-4edd-bc3b-57de7af62294', '2026-11-30 03:02:08.009305+00', NULL, NULL, '2026-11-30 03:02:23.500183+00', NULL, 0, NULL, NULL, NULL, NULL, true, -975621029, NULL),
	('01a22a67-3fdf-7326-a3b4-1fe52fe0c737', 'upgrade.Order', 1, 'PENDING', 0, 0, 0, 'placed', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{}', NULL, 'ba441d87-2502-4f7f-80eb-4dd7f81688d3', '2026-11-30 03:02:19.360577+00', NULL, NULL, '2026-11-30 03:02:19.360577+00', NULL, 0, NULL, NULL, NULL, 1, false, -277144515, NULL),
	('01a22a67-3a9c-76fc-831e-167d6a73c75e', 'upgrade.Order', 1, 'AWAITING_CONFIRM', 3, 0, 0, 'late', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}, "three": {"by": "three"}}', NULL, '5faf37ba-3678-4327-9ebd-1211d24f6eae', '2026-11-30 03:02:18.014361+00', '2026-11-30 00:02:18.020565+00', '2026-11-30 01:02:18.020565+00', '2026-11-30 01:02:19.020565+00', NULL, 0, NULL, NULL, NULL, 5, false, -277144515, NULL),
	('01a22a67-16a5-7015-895d-107855fe13dd', 'upgrade.Parent', 1, 'EXECUTING', 1, 0, 1, 'child waiting', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '5ae8d0eb-c361-4a03-a150-c9caa12f0dd4', '2026-11-30 03:02:08.806456+00', '2026-11-30 03:02:08.814803+00', NULL, '2026-11-30 04:02:09.546127+00', NULL, 0, NULL, NULL, '{"child": {"begun": true, "until": 0, "failed": 0, "operation": ""}}', NULL, false, -267035869, NULL),
	('01a22a67-1854-73a9-bb5e-e7b34626a7fd', 'upgrade.Parent', 1, 'COMPENSATING', 1, 0, 1, 'parent undoing', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": ""}', '1906979f-b9c2-477d-a8a6-40ee6d6c7af3', '2026-11-30 03:02:09.237554+00', '2026-11-30 03:02:09.244886+00', NULL, '2026-11-30 04:02:09.546205+00', NULL, 2, NULL, NULL, '{"child": {"begun": true, "until": 0, "failed": 0, "operation": ""}}', NULL, false, -267035869, NULL),
	('f6188186-ceb1-566e-a361-80bb6f6ca6bb', 'upgrade.Child', 1, 'AWAITING_CONFIRM', 1, 0, 0, '', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"inner": {"by": "inner"}}', NULL, '758ae3e4-3dc4-4e27-8a16-11bc663378d9', '2026-11-30 03:02:09.413317+00', '2026-11-30 03:02:09.433473+00', '2026-11-30 04:02:09.433473+00', '2026-11-30 04:02:10.433473+00', NULL, 0, '01a22a67-1854-73a9-bb5e-e7b34626a7fd', 'child', NULL, NULL, false, -1844241472, NULL),
	('01a22a67-19e3-766f-9f04-0e084e47cc7a', 'upgrade.Travelling', 1, 'EXECUTING', 1, 0, 0, 'travelling', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '88c7eb29-cce4-4753-9e13-c48369761b88', '2026-11-30 03:02:09.636074+00', '2026-11-30 03:02:09.64458+00', '2026-11-30 04:02:09.64458+00', '2026-11-30 04:02:09.64458+00', NULL, 0, NULL, NULL, NULL, NULL, false, -43929257, NULL),
	('01a22a67-2a52-71b8-824c-769edc80ee9c', 'orders.PlaceOrder', 1, 'COMPENSATING', 3, 0, 0, 'order undoing', '{"slot": 1, "items": [{"sku": "TEA", "quantity": 2, "unit_price_cents": 1500}], "coupon": "order undoing", "order_no": "order undoing", "customer_id": 1, "discount_cents": 500}', '{"apply_coupon": {"discount_cents": 500}}', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": "changed my mind"}', '273d463d-31cc-4b9e-8791-05411befb7d4', '2026-11-30 03:02:13.844499+00', '2026-11-30 03:02:13.861376+00', '2026-11-30 04:02:13.861377+00', '2026-11-30 04:02:15.260085+00', NULL, 0, NULL, NULL, NULL, 8, false, -280494947, NULL),
	('01a22a67-2d28-7723-9253-e41245599a7e', 'orders.PlaceOrder', 1, 'CONFIRMING', 1, 0, 0, 'order confirming', '{"slot": 1, "items": [{"sku": "TEA", "quantity": 2, "unit_price_cents": 1500}], "coupon": "order confirming", "order_no": "order confirming", "customer_id": 1, "discount_cents": 500}', '{"apply_coupon": {"discount_cents": 500}}', NULL, '6a21e29a-612a-462a-bdc4-54a019d8a81a', '2026-11-30 03:02:14.575769+00', '2026-11-30 03:02:14.589161+00', '2026-11-30 04:02:14.589161+00', '2026-11-30 04:02:15.260157+00', NULL, 0, NULL, NULL, NULL, 8, false, -280494947, NULL),
	('01a22a67-1e6a-7518-85a0-57f9caa4397c', 'upgrade.Travelling', 1, 'CONFIRMING', 0, 0, 1, 'travelling to its end', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}}', NULL, '2b3b1f25-7ae1-4d4c-a36e-bb702ca91c19', '2026-11-30 03:02:10.803316+00', '2026-11-30 03:02:10.812035+00', '2026-11-30 04:02:10.812035+00', '2026-11-30 04:02:11.184853+00', NULL, 0, NULL, NULL, NULL, NULL, false, -43929257, NULL),
	('01a22a67-206e-745a-996f-45a6b82469ec', 'upgrade.Afar', 1, 'EXECUTING', 2, 0, 0, 'afar', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}, "two": {"by": "two"}}', NULL, '6ed059b7-8b1f-4ff7-92e7-e77233792bce', '2026-11-30 03:02:11.311697+00', '2026-11-30 03:02:11.317853+00', '2026-11-30 04:02:11.317853+00', '2026-11-30 04:02:11.317853+00', NULL, 0, NULL, NULL, NULL, NULL, false, 479906821, NULL),
	('01a22a67-2261-7286-be19-bb25e24abe76', 'upgrade.Afar', 1, 'EXECUTING', 1, 0, 0, 'done there and not here', '{"key": "", "dies": "two.forward", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', NULL, '5a541ca6-45f4-4d53-9819-7c3a9ac92502', '2026-11-30 03:02:11.811348+00', '2026-11-30 03:02:11.8248+00', '2026-11-30 04:02:11.8248+00', '2026-11-30 04:02:11.824801+00', NULL, 0, NULL, NULL, NULL, NULL, false, 479906821, NULL),
	('01a22a67-2323-71c8-87cb-d9c1758d5484', 'upgrade.Afar', 1, 'COMPENSATING', 1, 0, 0, 'undone before it was done', '{"key": "", "dies": "", "breaks": [], "rejects": [], "customer": "Lin"}', '{"one": {"by": "one"}}', '{"code": "Cancelled", "kind": "cancelled", "step": "", "detail": ""}', '5f8eaf89-5978-48b2-8165-9842eb31e372', '2026-11-30 03:02:12.003735+00', '2026-11-30 03:02:12.01861+00', '2026-11-30 04:02:12.01861+00', '2026-11-30 04:02:12.284453+00', NULL, 0, NULL, NULL, NULL, NULL, false, 479906821, NULL),
	('01a22a67-255b-7672-9272-6b9083130dc6', 'orders.PlaceOrder', 1, 'EXECUTING', 2, 0, 0, 'order begun', '{"slot": 1, "items": [{"sku": "TEA", "quantity": 2, "unit_price_cents": 1500}], "coupon": "order begun", "order_no": "order begun", "customer_id": 1, "discount_cents": 500}', '{}', NULL, '50eec51f-b598-4205-8812-cac959c9170b', '2026-11-30 03:02:12.575823+00', '2026-11-30 03:02:12.593887+00', '2026-11-30 04:02:12.593887+00', '2026-11-30 04:02:12.593888+00', NULL, 0, NULL, NULL, NULL, 3, false, -280494947, NULL),
	('01a22a67-2744-742d-b24e-f92d06d8b99a', 'orders.PlaceOrder', 1, 'AWAITING_CONFIRM', 4, 0, 0, 'order waiting', '{"slot": 1, "items": [{"sku": "TEA", "quantity": 2, "unit_price_cents": 1500}], "coupon": "order waiting", "order_no": "order waiting", "customer_id": 1, "discount_cents": 500}', '{"apply_coupon": {"discount_cents": 500}}', NULL, '738fe03a-702b-475f-8800-39840ba5255f', '2026-11-30 03:02:13.061481+00', '2026-11-30 03:02:13.07668+00', '2026-11-30 04:02:13.07668+00', '2026-11-30 04:02:14.07668+00', NULL, 0, NULL, NULL, NULL, 6, false, -280494947, NULL);
INSERT INTO public.upgrade_effect VALUES
	('01a22a66-e41c-7087-9ff2-57e0ebc1b676', 'one.forward'),
	('01a22a66-e484-7659-92ad-e42b73a2da59', 'one.forward'),
	('01a22a66-e4ec-71c5-98b5-bdb464d1bec8', 'one.forward'),
	('01a22a66-e4ec-71c5-98b5-bdb464d1bec8', 'two.forward'),
	('01a22a66-e4ec-71c5-98b5-bdb464d1bec8', 'three.forward'),
	('01a22a66-e5d7-75cc-8a75-a2e62299a38d', 'one.forward'),
	('01a22a66-e5d7-75cc-8a75-a2e62299a38d', 'two.forward'),
	('01a22a66-e5d7-75cc-8a75-a2e62299a38d', 'three.forward'),
	('01a22a66-e6a1-76c5-b073-b642048ae761', 'one.forward'),
	('01a22a66-e6a1-76c5-b073-b642048ae761', 'two.forward'),
	('01a22a66-e6a1-76c5-b073-b642048ae761', 'three.forward'),
	('01a22a66-e6a1-76c5-b073-b642048ae761', 'one.confirm'),
	('01a22a66-e8b5-76eb-967b-1e43dc685684', 'one.forward'),
	('01a22a66-e8b5-76eb-967b-1e43dc685684', 'two.forward'),
	('01a22a66-e8b5-76eb-967b-1e43dc685684', 'three.forward'),
	('01a22a66-e8b5-76eb-967b-1e43dc685684', 'three.compensate'),
	('01a22a66-ea8f-7296-8e33-1bd31736ee0f', 'one.forward'),
	('01a22a66-ea8f-7296-8e33-1bd31736ee0f', 'two.forward'),
	('01a22a66-ec6b-7351-8c8f-13115a31e835', 'one.forward'),
	('01a22a66-ec6b-7351-8c8f-13115a31e835', 'two.forward'),
	('01a22a66-ec6b-7351-8c8f-13115a31e835', 'three.forward'),
	('01a22a66-ec6b-7351-8c8f-13115a31e835', 'one.confirm'),
	('01a22a66-ec6b-7351-8c8f-13115a31e835', 'three.confirm'),
	('01a22a66-ef85-7254-ab5e-be4d4c7c68f2', 'one.forward'),
	('01a22a66-ef85-7254-ab5e-be4d4c7c68f2', 'two.forward'),
	('01a22a66-ef85-7254-ab5e-be4d4c7c68f2', 'two.compensate'),
	('01a22a66-ef85-7254-ab5e-be4d4c7c68f2', 'one.compensate'),
	('01a22a66-f203-71b5-b6d1-0523ae447523', 'one.forward'),
	('01a22a66-f38a-76a5-a0b4-fa14df63862e', 'one.forward'),
	('01a22a66-f38a-76a5-a0b4-fa14df63862e', 'two.forward'),
	('01a22a66-f38a-76a5-a0b4-fa14df63862e', 'three.forward'),
	('01a22a66-f903-749e-85a8-fa026c8a8145', 'one.forward'),
	('01a22a66-f903-749e-85a8-fa026c8a8145', 'two.forward'),
	('01a22a66-f903-749e-85a8-fa026c8a8145', 'three.forward'),
	('01a22a66-f903-749e-85a8-fa026c8a8145', 'three.compensate'),
	('01a22a67-047c-75f1-9d2b-4656ca14de88', 'one.forward'),
	('01a22a67-047c-75f1-9d2b-4656ca14de88', 'two.forward'),
	('01a22a67-047c-75f1-9d2b-4656ca14de88', 'three.forward'),
	('01a22a67-0dac-760f-8760-aaba717ac965', 'one.forward'),
	('01a22a67-0dac-760f-8760-aaba717ac965', 'two.forward'),
	('01a22a67-109e-77be-a22f-793cd491a80a', 'one.forward'),
	('01a22a67-109e-77be-a22f-793cd491a80a', 'right.forward'),
	('01a22a67-1157-751d-802a-432655150290', 'one.forward'),
	('01a22a67-1157-751d-802a-432655150290', 'left.forward'),
	('01a22a67-1247-72c2-a6c0-0fa68ad3fc8f', 'one.forward'),
	('01a22a67-14f7-7722-9692-549d99c77a96', 'one.forward'),
	('01a22a67-16a5-7015-895d-107855fe13dd', 'one.forward'),
	('01a22a67-1854-73a9-bb5e-e7b34626a7fd', 'one.forward'),
	('67c225da-0a09-56b6-8583-1fd23195c41d', 'inner.forward'),
	('f6188186-ceb1-566e-a361-80bb6f6ca6bb', 'inner.forward');
INSERT INTO public.upgrade_effect VALUES
	('01a22a67-19e3-766f-9f04-0e084e47cc7a', 'one.forward'),
	('01a22a67-1e6a-7518-85a0-57f9caa4397c', 'one.forward'),
	('01a22a67-1e6a-7518-85a0-57f9caa4397c', 'two.forward'),
	('01a22a67-206e-745a-996f-45a6b82469ec', 'one.forward'),
	('01a22a67-2261-7286-be19-bb25e24abe76', 'one.forward'),
	('01a22a67-2323-71c8-87cb-d9c1758d5484', 'one.forward'),
	('01a22a67-3107-7512-b42c-ac18af70d56f', 'one.forward'),
	('01a22a67-32d8-760a-a240-0c1a0fcad3d1', 'one.forward'),
	('01a22a67-33a5-7585-948a-bb02479bc101', 'one.forward'),
	('01a22a67-3641-7245-a44f-e5bc3dfa3339', 'one.forward'),
	('01a22a67-3703-71e6-80a9-dd7b15b4f870', 'one.forward'),
	('01a22a67-379b-72be-b5bc-471b33f90d2b', 'one.forward'),
	('01a22a67-38d9-70d1-a548-21d6d02a697b', 'one.forward'),
	('01a22a67-38d9-70d1-a548-21d6d02a697b', 'two.forward'),
	('01a22a67-38d9-70d1-a548-21d6d02a697b', 'three.forward'),
	('01a22a67-3a9c-76fc-831e-167d6a73c75e', 'one.forward'),
	('01a22a67-3a9c-76fc-831e-167d6a73c75e', 'two.forward'),
	('01a22a67-3a9c-76fc-831e-167d6a73c75e', 'three.forward'),
	('01a22a67-3c7b-7000-9757-828f454e7432', 'one.forward'),
	('01a22a67-3dac-715a-93f9-5a5f19a22c9d', 'one.forward');
INSERT INTO public.upgrade_made VALUES
	('2026-11-30 03:02:19.663246+00');
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
