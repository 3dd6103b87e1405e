# Makes the tables of the shop under out/, each all or nothing, and says of each as JSON how many rows it
# has, how many of them lack the ID they begin with, and the first ones.
set -e
mkdir -p out/published

keep() { # FILE: what is read becomes the file
  new=$(mktemp out/new.XXXXXX)
  cat >"$new" && mv "$new" "out/$1"
}

tell() { # FILE
  awk -F, 'NR > 1 { n++; if ($1 == "") null++; if (n <= 3) first = first (n > 1 ? "," : "") "\"" $0 "\"" }
    END { printf "{\"row_count\":%d,\"null_ids\":%d,\"preview\":[%s]}\n", n, null, first }' "out/$1"
}

case $1 in
load) keep "raw_$2.csv" <"seeds/$2.csv" && tell "raw_$2.csv" ;;
stage) sed 's/ *, */,/g' "out/raw_$2.csv" | keep "stg_$2.csv" && tell "stg_$2.csv" ;;
monthly) # with the customers that people have looked up for orders since
  awk -F, -v month="$2" '
    FNR == 1 { file++; next }
    file == 1 { name[$1] = $2 }
    file == 2 { paid[$2] += $3 }
    file == 3 { corrected[$1] = $2 }
    file == 4 && $1 in corrected { $2 = corrected[$1] }
    file == 4 && substr($3, 1, 7) == month { if (!($2 in orders)) list[++n] = $2; orders[$2]++; amount[$2] += paid[$1] }
    END { print "customer_id,name,orders,amount"; for (i = 1; i <= n; i++) { c = list[i]; print c "," name[c] "," orders[c] "," amount[c] } }
  ' out/stg_customers.csv out/stg_payments.csv seeds/corrections.csv out/stg_orders.csv | keep "monthly_orders-$2.csv" && tell "monthly_orders-$2.csv"
  ;;
customers) cut -d, -f2 out/stg_customers.csv | keep customers_report.csv && tell customers_report.csv ;;
report)
  awk -F, 'BEGIN { print "month,orders" }
    FNR > 1 { month = FILENAME; gsub(/^out\/monthly_orders-|\.csv$/, "", month); orders[month] += $3 }
    END { for (m in orders) print m "," orders[m] | "sort" }' out/monthly_orders-*.csv | keep orders_report.csv && tell orders_report.csv
  ;;
publish) keep "published/$2.csv" <"out/monthly_orders-$2.csv" && echo "published/$2.csv" ;;
adhoc)
  awk -F, -v start="$2" -v end="$3" 'FNR == 1 { file++; next }
    file == 1 && $3 >= start && $3 <= end { wanted[$1] }
    file == 2 && ($2 in wanted) { sum += $3 }
    END { print sum + 0 }' seeds/orders.csv seeds/payments.csv | keep "adhoc-$2-$3.txt" && cat "out/adhoc-$2-$3.txt"
  ;;
esac
